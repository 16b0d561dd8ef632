#!/bin/sh
# Makes what is secret, once: 32 random bytes each, in hexadecimal. Only Assent's own account and root may read them.
set -eu
umask 077
directory=$1
for name in master.key postgres objects; do
  file="$directory/$name"
  if [ ! -s "$file" ]; then
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$file.new"
    mv "$file.new" "$file"
  fi
done
# Where the account of the image is not there, whoever calls keeps them.
if [ "$(id -u)" = 0 ] && id assent >/dev/null 2>&1; then
  chown -R assent "$directory"
fi
