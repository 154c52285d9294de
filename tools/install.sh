#!/bin/sh
# Fills a virtual environment with what a lock file names: uv first, by pip; everything but Horovod by uv; then Horovod,
# compiled against the TensorFlow that is now there. Every file is checked against its hash.
# Usage: install.sh PYTHON FOLDER LOCK_FILE
set -eu
python=$1
venv=$2
lock=$3
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac

say() { echo "pagerec: $1" >&2; }

# Prints the part of the lock about the packages whose names match, or do not match, a pattern.
part() { awk -v pattern="^($2)==" -v wanted="$1" '/^[A-Za-z0-9]/ {keep = ($0 ~ pattern) == wanted} keep' "$lock"; }

if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ -n "$(ls -A "$venv")" ]; then
    say "$venv is no virtual environment and will not be overwritten. Choose another folder: make VENV=/path"
    exit 1
fi
say "making a virtual environment in $venv"
"$python" -m venv --clear "$venv"
part 1 uv >"$venv/uv.lock.txt"
part 0 'uv|horovod' >"$venv/packages.lock.txt"
part 1 horovod >"$venv/horovod.lock.txt"

say "installing the packages of $lock (about 1.3 GB to download the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$venv/uv.lock.txt"
# uv remembers what it once saw at a path: of an environment that was cleared while it looked, the Python beneath it.
rm -rf "$("$venv/bin/uv" cache dir)"/interpreter-v*
# uv is several times faster; pip reads settings that uv does not know (pip.conf, PIP_INDEX_URL, PIP_CERT).
install() {
    # Two makes at once clear each other's environment; without its pyvenv.cfg all would go into the Python beneath it.
    "$venv/bin/python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' || {
        say "$venv was taken away while it was filled. Is another make at work on it? Run one at a time"
        exit 1
    }
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes "$@" || {
        say "uv could not do it; trying the same with pip, which takes longer"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes "$@"
    }
}
install -r "$venv/packages.lock.txt"

processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
tensorflow=$(sed -n 's/^\(tensorflow==[^ ]*\).*/\1/p' "$lock")
say "compiling Horovod against $tensorflow on $processors processors (2 to 5 minutes the first time)"
export PATH="$venv/bin:$PATH" MAKEFLAGS="-j$processors"
export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
export HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 HOROVOD_CPU_OPERATIONS=GLOO
# uv keeps what it compiled and tells builds apart by these settings; Horovod itself ignores them. Without it a later
# TensorFlow would be given the Horovod of an earlier one.
install --no-build-isolation -C "built-against=$tensorflow" -r "$venv/horovod.lock.txt"
TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL=3 "$venv/bin/python" -c 'import horovod.tensorflow as hvd; assert hvd.gloo_built()' 2>"$venv/horovod.log" || {
    cat "$venv/horovod.log" >&2
    say "Horovod was built without Gloo or cannot be imported; clear its build with '$venv/bin/uv cache clean horovod' and run make again"
    exit 1
}

# Where Python may not write bytecode itself (PYTHONDONTWRITEBYTECODE, a folder of another user), each process, and so
# each rank, would compile TensorFlow anew: more than half of the time of its import. A file that is no Python of this
# version is left as it is.
say "compiling the packages to bytecode (about a minute)"
"$venv/bin/python" -m compileall -qq -j "$processors" "$venv/lib" || true
