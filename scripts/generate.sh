#!/usr/bin/env bash
# shellcheck source-path=SCRIPTDIR
# Writes the files that are generated from the code, or with --check compares them with it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/common.sh"
cd "$here/.."

# With what the tests are compiled with, features of libraries and all: so `make test` need not compile it again.
cargo build --quiet --locked --test cli
tib() { "${CARGO_TARGET_DIR:-target}/debug/tib" "$@"; }

# One `file<TAB>command` a line.
generated() {
    printf 'recipes/recipe.schema.json\trecipe schema\n'
    printf 'recipes/checks.schema.json\trecipe schema --checks\n'
    printf 'base-images/base-image.schema.json\tbase schema\n'
    printf 'docs/inspect.schema.json\tinspect --schema\n'
}

scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
while IFS=$'\t' read -r file arguments; do
    # shellcheck disable=SC2086 # the arguments are words
    tib $arguments >"$scratch" </dev/null
    if [ "${1:-}" = --check ]; then
        diff -u "$file" "$scratch" || die "$file does not match the code: run \`make generate\` and commit it"
    else
        install -m 0644 "$scratch" "$file"
    fi
done < <(generated)

# The table of causes is made of the data of the test that tries them.
if [ "${1:-}" = --check ]; then
    cargo test --quiet --locked --test contract the_table_is_made_of_the_causes >/dev/null ||
        die "docs/contract.md does not match tests/contract/causes.toml: run \`make generate\` and commit it"
else
    CONTRACT_GENERATE=1 cargo test --quiet --locked --test contract the_table_is_made_of_the_causes >/dev/null
fi
