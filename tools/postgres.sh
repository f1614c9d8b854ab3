#!/bin/sh
# The tests of a gradebook on PostgreSQL need its server: install it where that is possible, otherwise say why they are
# skipped. NEED_POSTGRES=1 makes "not possible" an error, for machines whose job is to run every test.
set -eu

for server in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$server" ] && exit 0
done
command -v postgres >/dev/null 2>&1 && exit 0

without() {
    echo "== no PostgreSQL, so its tests will be skipped: $1"
    [ "${NEED_POSTGRES:-}" != 1 ]
    exit
}

command -v apt-get >/dev/null 2>&1 || without "there is no apt-get here. Install PostgreSQL by hand to run them."
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    without "apt-get needs root. Run: sudo apt-get install postgresql"
fi

echo "== installing PostgreSQL through apt-get: about 20 MB; no server is left running"
log=$(mktemp)
# Without this file the package would make a database and start its server at once.
conf=/etc/postgresql-common/createcluster.conf
if $as_root apt-get update >"$log" 2>&1 &&
    $as_root mkdir -p "${conf%/*}" &&
    { [ -e "$conf" ] || echo "create_main_cluster = false" | $as_root tee "$conf" >/dev/null; } &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        -o Dpkg::Options::=--force-confold postgresql >>"$log" 2>&1; then
    rm -f "$log"
else
    tail -n 5 "$log"
    without "apt-get failed (its last lines are above; all of it in $log)."
fi
