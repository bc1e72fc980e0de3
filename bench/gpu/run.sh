#!/bin/bash
# The whole GPU run: ./run.sh [--smoke] [OUT] [STEP|PART…]
# Each step is a process with a time limit and a log of its own; one that fails stops no other, but the end is non-zero.
# `short`: what the targets name, each step with less time, under 6 minutes together.
# Without steps: all, some 25 minutes. Parts, each under 9 minutes on an H100: part1 part2 part3 part4 part5. Results add up in OUT.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON=${PYTHON:-python3}
OUT=$HERE/out
SMOKE=
STEPS=

SHORT=

# Seconds that a step may take at most.
limit() {
  [ -z "$SHORT" ] || case $1 in
    tests) echo 45; return ;; kernels) echo 55; return ;; unsafe|f16-matrix) echo 25; return ;; models) echo 85; return ;; tfjs|torch) echo 55; return ;; matrix) echo 18; return ;;
  esac
  case $1 in
    doctor) echo 60 ;; tests) echo 280 ;; tune|tune-matrix) echo 170 ;; kernels) echo 210 ;; unsafe) echo 130 ;;
    models) echo 300 ;; f16|f16-matrix) echo 150 ;; tfjs) echo 220 ;; torch) echo 300 ;;
    gemm|gemm-unsafe|profile|rows|matrix) echo 60 ;;
  esac
}

for word in "$@"; do
  case $word in
    --smoke) SMOKE=--smoke ;;
    part1) STEPS="$STEPS doctor tests tune" ;;
    part2) STEPS="$STEPS tune-matrix kernels unsafe" ;;
    part3) STEPS="$STEPS f16 f16-matrix tfjs" ;;
    part4) STEPS="$STEPS models matrix rows" ;;
    part5) STEPS="$STEPS torch" ;;
    doctor|tests|tune|tune-matrix|kernels|unsafe|models|f16|tfjs|torch|f16-matrix|gemm|gemm-unsafe|profile|rows|matrix) STEPS="$STEPS $word" ;;
    short) SHORT=1; STEPS="$STEPS doctor kernels models torch tfjs tests matrix f16-matrix unsafe" ;;
    summary) STEPS="${STEPS:- }" ;;
    -*) echo "run.sh: expected --smoke, got $word" >&2; exit 2 ;;
    *) OUT=$word ;;
  esac
done
[ -n "$STEPS" ] || STEPS="doctor tests tune tune-matrix kernels unsafe f16 f16-matrix tfjs models matrix rows torch"
mkdir -p "$OUT/steps" || exit 2
OUT=$(cd "$OUT" && pwd)

# Libraries that this machine lacks come from the archive; what it has is its own.
mkdir -p "$OUT/.lib"
known=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null)
for file in "$HERE"/lib/*; do
  name=$(basename "$file")
  case $known in
    *"$name "*) rm -f "$OUT/.lib/$name" ;;
    *) ln -sf "$file" "$OUT/.lib/$name"; echo "library from the archive: $name" ;;
  esac
done
# Containers may have the driver outside of every usual folder.
for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib; do [ -d $folder ] && LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$folder; done
export LD_LIBRARY_PATH=$OUT/.lib${LD_LIBRARY_PATH:+:${LD_LIBRARY_PATH#:}}
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp} HOME=${HOME:-/tmp}

failed=
node() { "$HERE/bin/node" --max-old-space-size=16000 "$HERE/js/main.mjs" "$@" --out "$OUT" $SMOKE; }

# The first description of a driver with which there is an adapter: the loader's own choice, NVIDIA's, or one made here from its libraries.
driver() {
  [ -z "$VK_DRIVER_FILES$VK_ICD_FILENAMES" ] || return 0
  node probe > /dev/null 2>&1 && return 0
  local json name folder
  for name in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
    for folder in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/local/nvidia/lib64 /usr/local/nvidia/lib; do
      [ -e $folder/$name ] && echo "{\"file_format_version\": \"1.0.1\", \"ICD\": {\"library_path\": \"$folder/$name\", \"api_version\": \"1.3.0\"}}" > "$OUT/.lib/$name.json"
    done
  done
  for json in /etc/vulkan/icd.d/nvidia*.json /usr/share/vulkan/icd.d/nvidia*.json /usr/local/nvidia/share/vulkan/icd.d/nvidia*.json "$OUT"/.lib/*.json; do
    [ -e "$json" ] && VK_DRIVER_FILES=$json node probe > /dev/null 2>&1 && { export VK_DRIVER_FILES=$json; echo "Vulkan driver: $json"; return 0; }
  done
  node probe
  echo "no Vulkan driver gives an adapter: set VK_DRIVER_FILES to the driver's JSON file" >&2
  return 1
}
driver || exit 1
# step NAME COMMAND…: its output goes to a log, its last lines to the screen.
step() {
  local name=$1 began=$SECONDS; shift
  echo "== $name"
  export -f node; export HERE OUT SMOKE
  timeout -k 5 "$(limit "${name%%-*}")" bash -c '"$@"' -- "$@" > "$OUT/steps/$name.log" 2>&1
  local code=$?
  tail -n 12 "$OUT/steps/$name.log" | cut -c 1-240
  echo "== $name: $([ $code -eq 0 ] && echo done || echo "FAILED ($code)") in $((SECONDS - began)) s"
  echo "{\"step\": \"$name\", \"code\": $code, \"seconds\": $((SECONDS - began))}" > "$OUT/steps/$name.end.json"
  [ $code -eq 0 ] || failed="$failed $name"
}

for name in $STEPS; do
  # A step begins nothing new in the last tenth of its time.
  seconds=$(($(limit $name) * 88 / 100))
  case $name in
    doctor)
      step doctor node doctor
      step doctor-matrix node doctor-matrix
      (nvidia-smi; "$HERE/bin/node" --version; uname -a) > "$OUT/steps/machine.log" 2>&1 ;;
    matrix)
      step matrix node matrix --seconds $seconds
      step matrix-unsafe node matrix-unsafe --seconds $((seconds / 2)) ;;
    torch)
      if "$PYTHON" -c 'import torch' 2> /dev/null; then
        step torch "$PYTHON" -u "$HERE/torch_models.py" "$OUT/steps/torch.json" --seconds $((seconds * 3 / 4)) $SMOKE
      else
        echo "== torch: not run, \"$PYTHON\" (PYTHON) cannot import torch"
      fi ;;
    *) step "$name" node "$name" --seconds $seconds ;;
  esac
done

node summary || failed="$failed summary"
tar -czf "$OUT/steps.tar.gz" -C "$OUT" steps
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
