#!/usr/bin/env bash
# Times `tib base fetch` against `curl` and `sha256sum` doing the same work, in turn, and prints medians.
#
#   benches/fetch.sh [RUNS] [MEBIBYTES]        (default 5 and 2048)
#
# The server is nginx on loopback (needed: nginx, curl, GNU time). tib starts with an empty cache every time, verifies
# while it downloads, looks through the image's header and puts it into its cache, synced. curl writes a file, which
# sha256sum then reads from memory; nothing is synced.
set -euo pipefail

runs=${1:-5} size=${2:-2048}
tib=$(realpath "${TIB_BIN:-target/release/tib}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tib-bench.XXXXXX")
trap '[ -z "${server:-}" ] || kill "$server"; rm -rf "$work"' EXIT

# A server that was started by root reads as somebody else.
chmod 0755 "$work"
mkdir "$work/site"
head -c "${size}M" /dev/urandom >"$work/site/image.raw"
# ext4's magic number, so that it passes for an image.
printf '\x53\xef' | dd of="$work/site/image.raw" bs=1 seek=1080 conv=notrunc status=none
checksum=sha256:$(sha256sum "$work/site/image.raw" | cut -d' ' -f1)

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/nginx.conf" <<CONF
daemon off;
pid $work/nginx.pid;
error_log stderr error;
events {}
http {
    access_log off;
    sendfile on;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    server { listen 127.0.0.1:$port; root $work/site; }
}
CONF
nginx -c "$work/nginx.conf" -e stderr &
server=$!
url=http://127.0.0.1:$port/image.raw
curl -sSfI --retry 20 --retry-connrefused --retry-delay 1 "$url" >/dev/null

ours() {
    rm -rf "$work/cache"
    sync "$work"
    /usr/bin/time -f '%e %M' -o "$work/time" env TIB_CACHE_DIR="$work/cache" \
        "$tib" --quiet base fetch "$url" --checksum "$checksum" >/dev/null
    cat "$work/time"
}

theirs() {
    rm -f "$work/f"
    sync "$work"
    /usr/bin/time -f '%e' -o "$work/time" sh -c 'curl -sfo "$1" "$2" && sha256sum "$1" >/dev/null' sh "$work/f" "$url"
    cat "$work/time"
}

ours >/dev/null
theirs >/dev/null
for run in $(seq "$runs"); do
    a=$(ours) b=$(theirs)
    echo "$a $b" >>"$work/times"
    echo "run $run: tib ${a% *} s and ${a#* } KiB, curl and sha256sum $b s"
done
python3 - "$work/times" <<'PY'
import statistics, sys
rows = [tuple(map(float, line.split())) for line in open(sys.argv[1])]
ours, memory, theirs = zip(*rows)
ratio = statistics.median(a / b for a, _, b in rows)
print(f"median: tib {statistics.median(ours):.2f} s, curl and sha256sum {statistics.median(theirs):.2f} s, "
      f"ratio {ratio:.2f}; tib's peak memory {max(memory) / 1024:.0f} MiB")
PY
