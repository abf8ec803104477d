#!/usr/bin/env bash
# Shows that a frame costs no system call and no allocation while both sides are awake, and how many
# instructions it does cost: runs `zerobuffer-bench hot` (write and read in one thread) with N and with
# 10 N frames, counts, and compares. What a run costs once (start, buffer, end) cancels out.
#
#   benches/hot-path.sh [BYTES]      bytes a frame, default 64
#
# Needs strace and valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

bytes=${1:-64}
frames=20000
for tool in strace valgrind; do
    command -v "$tool" >/dev/null || { echo "hot-path: $tool is missing: apt-get install $tool" >&2; exit 2; }
done
cargo build --quiet --release --package zerobuffer-bench
program=${CARGO_TARGET_DIR:-target}/release/zerobuffer-bench
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# System calls of a run, all threads: the last line of strace's table is the total.
syscalls() { # frames
    strace -f -c -o "$work/strace" "$program" hot --frames "$1" --size "$bytes" >/dev/null
    awk '$NF == "total" { print ($2 ~ /\./ ? $4 : $3) }' "$work/strace"
}

# Instructions and allocator calls of a run, from callgrind's own file: `totals:` has the first; a `cfn=`
# line names the callee of the `calls=` line behind it, by an id that its first occurrence spells out.
callgrind() { # frames
    valgrind --quiet --tool=callgrind --callgrind-out-file="$work/callgrind" \
        "$program" hot --frames "$1" --size "$bytes" --ring 64K >/dev/null 2>"$work/valgrind" \
        || { cat "$work/valgrind" >&2; return 1; }
    awk '
        /^(totals|summary):/ && !instructions { instructions = $2 }
        /^c?fn=/ {
            split($0, part, /[()]/); id = part[2]
            name = $0; if (sub(/^c?fn=\([0-9]+\) /, "", name)) names[id] = name
            if ($0 ~ /^cfn=/) callee = names[id]
        }
        /^calls=/ {
            sub(/^calls=/, ""); sub(/\047.*/, "", callee)
            if (callee ~ /^(malloc|calloc|realloc|aligned_alloc|posix_memalign)(@.*)?$/) allocations += $1
        }
        END { printf "%.0f %.0f\n", instructions, allocations }
    ' "$work/callgrind"
}

few=$(syscalls "$frames")
many=$(syscalls $((10 * frames)))
read -r few_instructions few_allocations < <(callgrind "$frames")
read -r many_instructions many_allocations < <(callgrind $((10 * frames)))

awk -v n="$frames" -v bytes="$bytes" -v s1="$few" -v s2="$many" -v i1="$few_instructions" \
    -v i2="$many_instructions" -v a1="$few_allocations" -v a2="$many_allocations" '
    BEGIN {
        printf "%-30s %14s %14s %14s\n", "frames of " bytes " bytes", n, 10 * n, "per frame"
        printf "%-30s %14d %14d %14.4f\n", "system calls", s1, s2, (s2 - s1) / (9 * n)
        printf "%-30s %14d %14d %14.4f\n", "allocations", a1, a2, (a2 - a1) / (9 * n)
        printf "%-30s %14.0f %14.0f %14.1f\n", "instructions, write and read", i1, i2, (i2 - i1) / (9 * n)
        if (s1 <= 0 || a1 <= 0 || i1 <= 0) {
            print "hot-path: a count is missing; did strace or callgrind change their output?" > "/dev/stderr"
            exit 2
        }
        # Starting a program is not exact to the call: a handful may differ, not one in a thousand frames.
        if (s2 - s1 > n / 1000) { print "hot-path: system calls grow with the frames" > "/dev/stderr"; bad = 1 }
        if (a2 - a1 > n / 1000) { print "hot-path: allocations grow with the frames" > "/dev/stderr"; bad = 1 }
        exit bad
    }'
rustc --version
