#!/usr/bin/env bash
# What compose.yaml describes, done with the kernel's own tools: a Writer and a Reader, each in namespaces of
# its own (mounts, PIDs, IPC) and under a user of its own, with one 64 MiB tmpfs and one group in common.
# Passes when the Reader has verified every byte of every frame and nothing is left in the volume.
#
#   examples/containers/run-namespaces.sh
#
# As root: two users. Otherwise: in a user namespace, where both ends are the same user.
# environment: FRAMES (300), BYTES a frame (3110400), ZEROBUFFER (the command; default: built here)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

frames=${FRAMES:-300}
bytes=${BYTES:-3110400}
group=4000

if [[ ${1:-} != inside ]]; then
    for tool in unshare setpriv mount; do
        command -v "$tool" >/dev/null || { echo "$0: $tool is missing: apt-get install util-linux" >&2; exit 2; }
    done
    if [[ -z ${ZEROBUFFER:-} ]]; then
        (cd "$here/../.." && cargo build --quiet --release --package zerobuffer-cli --bin zerobuffer)
        ZEROBUFFER=$here/../../${CARGO_TARGET_DIR:-target}/release/zerobuffer
        [[ ${CARGO_TARGET_DIR:-} == /* ]] && ZEROBUFFER=$CARGO_TARGET_DIR/release/zerobuffer
    fi
    ZEROBUFFER=$(readlink -f "$(command -v "$ZEROBUFFER")")
    export ZEROBUFFER
    # The outer namespace exists so that the volume and all processes vanish with it, however this ends.
    if [[ $(id -u) == 0 ]]; then
        exec unshare --mount --pid --ipc --fork --kill-child --mount-proc "$0" inside users
    fi
    exec unshare --user --map-root-user --mount --pid --ipc --fork --kill-child --mount-proc "$0" inside one-user
fi

users=$2
volume=$(mktemp -d)
mount -t tmpfs -o size=64m,mode=2770 frames "$volume"
# The program may lie where only its owner can reach it: both sides get a copy that they can.
copy=$(mktemp -d)
chmod 0755 "$copy"
program=$copy/zerobuffer
install -m 0755 "$ZEROBUFFER" "$program"
results=$(mktemp -d)
trap 'rm -rf "$results" "$copy"; umount "$volume"; rmdir "$volume"' EXIT
if [[ $users == users ]]; then
    chgrp "$group" "$volume"
    chmod 2770 "$volume"
else
    group=0
fi
export ZEROBUFFER_DIR=$volume

# A container of its own: mounts, PIDs and IPC that the other side does not see.
container() { # user, command...
    local user=$1
    shift
    if [[ $users == users ]]; then
        unshare --mount --pid --ipc --fork --kill-child --mount-proc \
            setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs "$@"
    else
        unshare --mount --pid --ipc --fork --kill-child --mount-proc "$@"
    fi
}

# The Reader creates the buffer; the Writer waits for it.
container 2001 "$program" read camera --frames "$frames" --size "$bytes" --verify sequential \
    --buffer-size 32M --mode 0660 --group "$group" \
    --timeout-ms 60000 --wait-ms 60000 --json-output >"$results/read.json" &
reader=$!
container 2002 "$program" write camera --frames "$frames" --size "$bytes" --pattern sequential \
    --wait-ms 60000 --json-output >"$results/write.json" &
writer=$!

failed=0
wait "$writer" || { echo "the writer ended with $?" >&2; failed=1; }
wait "$reader" || { echo "the reader ended with $?" >&2; failed=1; }
cat "$results/write.json" "$results/read.json"
grep -Eq "\"frames_written\": *$frames\b" "$results/write.json" || { echo "not every frame was written" >&2; failed=1; }
grep -Eq "\"frames_read\": *$frames\b" "$results/read.json" || { echo "not every frame was read" >&2; failed=1; }
grep -Eq '"verification_errors": *0\b' "$results/read.json" || { echo "a frame was not what was written" >&2; failed=1; }
left=$(find "$volume" -mindepth 1 -printf '%f ')
[[ -z $left ]] || { echo "left behind in the volume: $left" >&2; failed=1; }
if [[ $failed == 0 ]]; then
    kind="two users in one group"
    [[ $users == users ]] || kind="one user, for want of root"
    echo "$frames frames of $bytes bytes crossed between two sets of namespaces ($kind), every byte verified"
fi
exit "$failed"
