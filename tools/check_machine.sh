#!/bin/sh
# Says, one line each, what this machine lacks to set pagerec up, with the remedy; nothing is downloaded before.
# Prints the Python to use on standard output. PYTHON, JAVA_HOME and CXX override what is looked for.
# Usage: check_machine.sh FOLDER_OF_THE_VIRTUAL_ENVIRONMENT
set -u
venv=${1:-.venv}
needed_kb=5000000 # 3.4 GB installed, the rest for building Horovod and the first demo
missing=0

lacks() {
    echo "pagerec: $1" >&2
    missing=1
}

is_311() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-python3.11 python3 python}; do
    if is_311 "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found='not there'
    command -v "${PYTHON:-python3}" >/dev/null 2>&1 && found=$("${PYTHON:-python3}" --version 2>&1 | head -n 1)
    lacks "Python 3.11 is missing (${PYTHON:-python3} is ${found:-no Python}). Install it (Debian 12: apt-get install python3.11 python3.11-venv) or name one: make PYTHON=/path/to/python3.11"
elif ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    lacks "$python cannot make a virtual environment (no ensurepip). Install its venv part: apt-get install python3.11-venv"
fi

# Spark's launcher takes JAVA_HOME where it is set, else the PATH's java.
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "$version" != 17 ]; then
    lacks "Java 17 is missing ($java is ${version:+version }${version:-not there}). Install it (apt-get install openjdk-17-jre-headless) or set JAVA_HOME to the folder of a Java 17"
fi

compiler=
for candidate in ${CXX:-g++ clang++ c++}; do
    command -v "$candidate" >/dev/null 2>&1 && compiler=$candidate && break
done
if [ -z "$compiler" ]; then
    lacks "a C++ compiler is missing (looked for ${CXX:-g++, clang++, c++}); Horovod is compiled here. Install one: apt-get install g++"
fi

folder=$venv
while [ ! -d "$folder" ]; do
    folder=$(dirname "$folder")
done
free_kb=$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 {print $4}')
if [ "${free_kb:-$needed_kb}" -lt "$needed_kb" ]; then
    lacks "the disk of $folder has $((free_kb / 1000)) MB free, setting up needs $((needed_kb / 1000)) MB. Make room or choose another folder: make VENV=/path"
fi

[ "$missing" = 0 ] || exit 1
echo "$python"
