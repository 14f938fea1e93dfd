/* The instruction sets that the kernels know, and the widest that this machine has. */
#ifndef HEBB_INSTRUCTION_SETS_H
#define HEBB_INSTRUCTION_SETS_H

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__)) && !defined(HEBB_PORTABLE)
#define HEBB_X86 1
#endif

enum { HEBB_PLAIN = 0, HEBB_AVX2 = 1, HEBB_AVX512_SET = 2 };

static inline int hebb_best_set(void)
{
#ifdef HEBB_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return HEBB_AVX512_SET;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return HEBB_AVX2;
#endif
    return HEBB_PLAIN;
}

#endif
