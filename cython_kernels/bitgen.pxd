# Draws without the interpreter lock, straight from the C struct behind a numpy bit generator.
from libc.stdint cimport int64_t, uint64_t

from numpy.random cimport bitgen_t


cdef extern from "acceptance.h" nogil:
    enum: HEBB_METROPOLIS
    enum: HEBB_GLAUBER
    int64_t hebb_site(uint64_t word, uint64_t n, double *uniform)
    double hebb_uniform(uint64_t word)
    double hebb_log(double x)


cdef inline uint64_t draw(bitgen_t *bitgen) noexcept nogil:
    return bitgen.next_uint64(bitgen.state)
