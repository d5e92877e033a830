#!/bin/sh
# Installs the header, the library with its soname links, the pkg-config file and the CMake package.
#
# usage: install.sh LIBRARY   (environment: PREFIX, LIBDIR, INCLUDEDIR, DESTDIR, DNNL_LIBS)
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
library=$1
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
includedir=${INCLUDEDIR:-$prefix/include}
destination=${DESTDIR:-}

number() { sed -n "s/^#define TENON_VERSION_$1 \\([0-9]*\\)$/\\1/p" "$root/include/tenon.h"; }
major=$(number MAJOR) minor=$(number MINOR) patch=$(number PATCH)
version=$major.$minor.$patch

fill() {
    sed -e "s|@PREFIX_FROM_PC@|$(realpath -m --relative-to="$libdir/pkgconfig" "$prefix")|g" \
        -e "s|@LIBDIR_FROM_PREFIX@|$(realpath -m --relative-to="$prefix" "$libdir")|g" \
        -e "s|@INCLUDEDIR_FROM_PREFIX@|$(realpath -m --relative-to="$prefix" "$includedir")|g" \
        -e "s|@VERSION@|$version|g" -e "s|@VERSION_MINOR_LINE@|$major.$minor|g" -e "s|@SOVERSION@|$major|g" \
        -e "s|@DNNL_LIBS@|${DNNL_LIBS:--ldnnl}|g" \
        -e "s|@INCLUDE_FROM_LIB@|$(realpath -m --relative-to="$libdir" "$includedir")|g" "$1"
}

mkdir -p "$destination$libdir/pkgconfig" "$destination$libdir/cmake/tenon" "$destination$includedir"
install -m 644 "$root/include/tenon.h" "$destination$includedir/tenon.h"
install -m 644 "$root/include/tenon.hpp" "$root/include/tenon_rules.hpp" "$root/include/tenon_hosts.hpp" \
    "$destination$includedir/"
# To a new name first: a process that runs the old library keeps it.
install -m 755 "$library" "$destination$libdir/.libtenon.new"
strip --strip-unneeded "$destination$libdir/.libtenon.new"
mv -f "$destination$libdir/.libtenon.new" "$destination$libdir/libtenon.so.$version"
ln -sf "libtenon.so.$version" "$destination$libdir/libtenon.so.$major"
ln -sf "libtenon.so.$major" "$destination$libdir/libtenon.so"
fill "$root/pkgconfig/tenon.pc.in" > "$destination$libdir/pkgconfig/tenon.pc"
fill "$root/cmake/tenonConfig.cmake.in" > "$destination$libdir/cmake/tenon/tenonConfig.cmake"
fill "$root/cmake/tenonConfigVersion.cmake.in" > "$destination$libdir/cmake/tenon/tenonConfigVersion.cmake"
echo "installed libtenon.so.$version in $destination$libdir"
