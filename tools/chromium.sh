#!/bin/sh
# The browser tests need Chromium: install it where that is possible, otherwise say why they are skipped.
# NEED_CHROMIUM=1 makes "not possible" an error, for machines whose job is to run every test.
set -eu

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done

without() {
    echo "== no Chromium, so the browser tests will be skipped: $1"
    [ "${NEED_CHROMIUM:-}" != 1 ]
    exit
}

command -v apt-get >/dev/null 2>&1 || without "there is no apt-get here. Install Chromium by hand to run them."
if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    without "apt-get needs root. Run: sudo apt-get install chromium"
fi

echo "== installing Chromium through apt-get: 110 MB, up to 230 MB with the libraries it needs"
log=$(mktemp)
if $as_root apt-get update >"$log" 2>&1 &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        chromium fonts-dejavu-core >>"$log" 2>&1; then
    rm -f "$log"
else
    tail -n 5 "$log"
    without "apt-get failed (its last lines are above; all of it in $log)."
fi
