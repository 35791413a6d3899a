# Run the arguments with the first Python that is new enough (PYTHON names one), or say what is missing.
for python in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exec "$python" "$@"
    fi
done
found=$(python3 --version 2>/dev/null || echo "no Python")
echo "Muster needs Python 3.11 or newer with its venv module, and this machine has $found:" \
    "install one (on Debian: python3 and python3-venv), or name one: make up PYTHON=/path/to/python3." >&2
exit 2
