#!/bin/sh
# Gives the container images that came with this image to docker, or podman, and frees their space. Started once, by
# tib-containers.service.
set -u

tool=docker
command -v docker >/dev/null 2>&1 || tool=podman

failed=0
for archive in /var/lib/embedded-containers/*.tar; do
    [ -e "$archive" ] || continue
    # The name of an archive is that of its image, with `+` for `/` and `=` for `:`.
    name=$(basename "$archive" .tar | tr '+=' '/:')
    if "$tool" image inspect "$name" >/dev/null 2>&1; then
        echo "$name is there already"
    elif ! "$tool" load -i "$archive"; then
        echo "cannot load $name from $archive: it is kept, and the agent will pull it" >&2
        failed=1
        continue
    elif ! "$tool" image inspect "$name" >/dev/null; then
        echo "$archive does not hold $name: it is kept, and the agent will pull it" >&2
        failed=1
        continue
    fi
    rm -f "$archive"
done
exit "$failed"
