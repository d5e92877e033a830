#!/bin/sh
# Prints the functions that include/tenon.h declares, one per line, sorted.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cc -E -P -x c "$root/include/tenon.h" | tr '\n' ' ' | grep -oE '\btenon_[a-z0-9_]+ *\(' | tr -d ' (' | LC_ALL=C sort -u
