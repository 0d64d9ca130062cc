# The unprivileged user as whom root runs tests. Sourced, not run.
# shellcheck shell=bash

tester=tib-test

# Makes the user the tests run as, once per machine.
provide_tester() {
    if ! id "$tester" >/dev/null 2>&1; then
        as_root useradd --create-home --shell /bin/sh --comment "runs tib's tests" "$tester"
    fi
    provide_subids "$tester"
    if getent group kvm >/dev/null; then
        usermod --append --groups kvm "$tester"
    fi
}

# Runs a command as the tester, with the caller's proxy and certificate settings but none of its private paths.
as_tester() {
    local home
    home=$(home_of "$tester")
    as_user "$tester" env -u XDG_CACHE_HOME -u XDG_CONFIG_HOME -u XDG_DATA_HOME -u XDG_RUNTIME_DIR -u CARGO_HOME \
        -u RUSTUP_HOME -u TMPDIR -u SUDO_USER HOME="$home" USER="$tester" LOGNAME="$tester" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
