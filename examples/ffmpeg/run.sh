#!/usr/bin/env bash
# ffmpeg -> write -> relay -> read: raw 1080p video through two buffers and three processes, and the md5 of what
# comes out compared with that of what went in.
#
# usage: run.sh fast|camera
#   fast    as fast as it goes
#   camera  30 frames a second, as a camera delivers them; shows the latency of each hop
# environment: FRAMES (300), ZEROBUFFER (the command; default: from PATH), ZEROBUFFER_DIR (where buffers live)
set -euo pipefail

mode=${1:-fast}
frames=${FRAMES:-300}
zerobuffer=${ZEROBUFFER:-zerobuffer}
frame_bytes=3110400 # 1920 x 1080 x 3 / 2

for program in ffmpeg md5sum "$zerobuffer"; do
  command -v "$program" >/dev/null || { echo "$0: $program is not installed" >&2; exit 1; }
done
case $mode in
  fast) pace=() ;;
  camera) pace=(-re) ;;
  *) echo "usage: $0 fast|camera" >&2; exit 2 ;;
esac

work=$(mktemp -d)
children=()
finish() {
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# The order of the three does not matter: whoever comes first creates the buffer or waits for it.
"$zerobuffer" read "screen-$$" --stdout --timeout-ms 60000 --timestamps \
  2>"$work/read.txt" | md5sum >"$work/out.md5" &
reader=$!
"$zerobuffer" relay "camera-$$" "screen-$$" --timeout-ms 60000 --timestamps >"$work/relay.txt" &
relay=$!
children=("$reader" "$relay")

ffmpeg -nostdin -v error "${pace[@]}" -f lavfi -i testsrc2=size=1920x1080:rate=30 \
  -frames:v "$frames" -pix_fmt yuv420p -f rawvideo - \
  | tee >(md5sum >"$work/in.md5") \
  | "$zerobuffer" write "camera-$$" --stdin --frame-size "$frame_bytes" 2>"$work/write.txt"
wait "$relay"
wait "$reader"
children=()

echo "write: $(grep -v '^zerobuffer:' "$work/write.txt" | tr '\n' ' ')"
echo "relay: $(tr '\n' ' ' <"$work/relay.txt")"
echo "read:  $(grep -v '^zerobuffer:' "$work/read.txt" | tr '\n' ' ')"

# tee's md5sum is not a child that can be waited for.
until [ -s "$work/in.md5" ]; do sleep 0.05; done
if cmp -s "$work/in.md5" "$work/out.md5"; then
  echo "md5 equal: $(cut -d' ' -f1 "$work/in.md5")"
else
  echo "md5 differs: in $(cat "$work/in.md5"), out $(cat "$work/out.md5")" >&2
  exit 1
fi
