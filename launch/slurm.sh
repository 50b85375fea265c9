#!/bin/bash
# sbatch launch/slurm.sh RUN --flagfile launch/coco.flags --data_dir=DIR --batch_size=1024
# Four nodes of eight GPUs, a process for each GPU; JAX learns from srun which is which. The folders
# RUN and DIR lie on a file system that all nodes share. A job that runs out of time, is preempted
# or loses a node is queued again, and goes on from the last checkpoint in RUN.
#SBATCH --job-name=jaxcap
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

run=${1:?the folder of the run}
shift
resume=()
if [[ -e $run/metrics.jsonl ]]; then
  resume=(--resume)
fi
code=0
srun --wait=60 python -m jaxcap.train "$@" --checkpoint_dir="$run" --distributed "${resume[@]}" \
  || code=$?
if ((code == 128 + 15)); then # a SIGTERM: it has saved where it was
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
