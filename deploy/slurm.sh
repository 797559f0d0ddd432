#!/bin/bash
# A training on four machines under SLURM: one task on each, which uses all its GPUs.
#
#     sbatch deploy/slurm.sh --data /shared/kinetics.pack --attention --name kinetics
#
# The data and the run folder are on storage that all machines share. When the time is over, SLURM ends the
# job; the same line with --resume instead goes on, on any number of machines:
#
#     sbatch --nodes 2 deploy/slurm.sh --resume kinetics
#SBATCH --job-name=ar3d
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log

export KERAS_BACKEND=jax
# One task that ends with an error ends the others.
srun --kill-on-bad-exit=1 --label ar3d train --hosts slurm --runs-dir /shared/runs "$@"
