#!/bin/bash
# A stage as a SLURM job array. Nothing has to live long: parts may fail, be requeued or run twice.
#     twopass plan run.zarr assign --noise-cutoff 2A
#     array=$(sbatch --parsable configs/slurm-array.sh run.zarr assign)
#     sbatch --dependency=afterany:$array --wrap "twopass commit run.zarr assign"
# If parts failed, commit says which units are missing: submit an array once more, then commit. Parts that were done
# end at once. Any range of numbers will do, such as --array=0-4, but without gaps.
#SBATCH --job-name=twopass
#SBATCH --array=1-20
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --requeue
set -euo pipefail

# Threads and memory are those that SLURM grants.
part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
exec twopass work "$1" "$2" --part "$part/$SLURM_ARRAY_TASK_COUNT"
