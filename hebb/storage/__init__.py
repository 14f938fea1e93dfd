"""Files: one per task while a job runs, one per job after merging, and plain named arrays. The only floor with h5py."""
