# Sourced by the commands of this folder, at the root of the repository: Python with PyTorch as $python, striate built.

venv=${STRIATE_BENCH_VENV:-bench/.venv}
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, numpy' 2>/dev/null || "$venv/bin/pip" install --quiet torch numpy
python=$venv/bin/python

cargo build --quiet --release --locked -p striate-bench -p striate-cli
export STRIATE_BENCH_BINARIES=${CARGO_TARGET_DIR:-target}/release
export PYTHONPATH=bench
