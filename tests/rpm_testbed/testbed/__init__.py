"""Makes guests and repositories of Red Hat's family out of Debian's archive: every file belongs to an RPM."""
