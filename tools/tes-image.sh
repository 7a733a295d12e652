#!/usr/bin/env bash
# A root file system with Snakemake in it, made offline from what is installed here: the machine's
# Python, the packages of a virtual environment, bash and busybox.
#
#   tools/tes-image.sh VENV WHEELS ROOT ARCHIVE
#
# ROOT is made and put into ARCHIVE. VENV has snakemake and its storage plugin, WHEELS the plugin's wheel: Snakemake installs that again
# wherever it runs, and here without a network.
set -euo pipefail
venv="$(realpath "$1")" wheels="$(realpath "$2")" root="$3" archive="$4"
mkdir -p "$root"/{bin,usr/bin,usr/local/bin,etc,tmp,work,proc,sys,dev,opt/site,opt/wheels}
root="$(realpath "$root")"

# A file at its own path, with the libraries that it is linked to.
take() {
  local file real library
  for file in "$@"; do
    real="$(realpath "$file")"
    mkdir -p "$root$(dirname "$file")" "$root$(dirname "$real")"
    [ -e "$root$real" ] || cp "$real" "$root$real"
    [ "$file" = "$real" ] || [ -e "$root$file" ] || ln -s "$real" "$root$file"
    for library in $(ldd "$real" 2> /dev/null | grep -oE '/[^ )]+' || true); do
      [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"; }
    done
  done
}

python="$(realpath "$venv/bin/python")"
stdlib="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
site="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
mkdir -p "$root$stdlib"
tar -C "$stdlib" -cf - --exclude test --exclude site-packages --exclude idlelib \
  --exclude ensurepip --exclude 'config-*' . | tar -C "$root$stdlib" -xf -
tar -C "$site" -cf - --exclude tests . | tar -C "$root/opt/site" -xf -
cp "$wheels"/*.whl "$root/opt/wheels/"
take "$python" /bin/bash
while IFS= read -r module; do take "$module"; done < <(find "$stdlib/lib-dynload" -name '*.so')
# Modules of packages bring libraries along, and use the system's besides.
while IFS= read -r module; do
  for library in $(ldd "$module" 2> /dev/null | grep -oE '=> /[^ )]+' | grep -oE '/.*' | grep -v "^$site" || true); do
    take "$library"
  done
done < <(find "$site" -name '*.so')
for name in python python3; do ln -sf "$python" "$root/usr/local/bin/$name"; done
printf '#!/bin/bash\nexec python3 -m pip "$@"\n' > "$root/usr/local/bin/pip"
chmod 755 "$root/usr/local/bin/pip"

cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list); do
  [ -e "$root/bin/$applet" ] || ln -s /bin/busybox "$root/bin/$applet"
done
echo 'root:x:0:0:root:/tmp:/bin/bash' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"
printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
printf '[global]\nno-index = true\nfind-links = /opt/wheels\nno-deps = true\ndisable-pip-version-check = true\n' \
  > "$root/etc/pip.conf"
tar -C "$root" -cf "$archive" .
