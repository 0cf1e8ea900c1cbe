#!/bin/sh
# Measure on one H100 what the page of reports/paper compares, the most telling first, in at most 8 minutes; on one
# H200 what is larger than an H100, the last three, and what was tried under autocast, the three before them.
#
#     sh benchmarks/paper.sh OUT [RUN...]
#
# RUN: the names below that are wanted; all, if none is given, of which 8 minutes are enough for the first five.
# OUT/paper.tgz holds for each run a folder with results.csv, provenance.json, figures and cells, OUT/log.txt what was printed.
# Measured are the settings that verdicts hang on; the twin has the others.
set -u
out=${1:?usage: paper.sh OUT [RUN...]}
shift
wanted=" $* "
ends=$(($(date +%s) + 480))
work=$(mktemp -d)
mkdir -p "$out"
# Set, it changes the workspace of matrix products, which is memory.
unset CUBLAS_WORKSPACE_CONFIG

# run NAME SCENARIO OPTION...: as far as the time goes. Interrupted, a run writes the table of what it has.
run() {
  name=$1 scenario=$2
  shift 2
  case $wanted in
    "  " | *" $name "*) ;;
    *) return ;;
  esac
  left=$((ends - $(date +%s)))
  if [ "$left" -lt 45 ]; then
    echo "$name: no time left" | tee -a "$out/log.txt"
    return
  fi
  timeout -s INT -k 20 "$left" python3 -m lorafa_prof run "$scenario" --device cuda -o "$work/$name" "$@" >> "$out/log.txt" 2>&1
  echo "$name: exit $?, $((ends - $(date +%s))) s left" | tee -a "$out/log.txt"
}

run metamathqa paper/metamathqa --set adapter_dtype=fp32
run llama-2-7b paper/llama-2-7b \
  --set 'method[0].targets=all-linear' --set 'method[0].adapter_dtype=fp32' \
  --set 'method[1].targets=all-linear' --set 'method[1].adapter_dtype=fp32'
run roberta-large paper/roberta-large --set dtype=fp32 --set attention=eager --set batch=64 --set seq=128
run t5-base paper/t5-base --set dtype=fp32 --set attention=eager --set batch=96 --set seq=128 \
  --set 'method[0].targets=all-linear' --set 'method[1].targets=all-linear'
run llama-7b paper/llama-7b --set 'method[3].adapter_dtype=fp32' --set 'method[4].adapter_dtype=fp32'
run t5-base-192 paper/t5-base --set dtype=fp32 --set attention=eager --set batch=64 --set seq=192 \
  --set 'method[0].targets=all-linear' --set 'method[1].targets=all-linear' \
  --set 'method[0].dropout=0.0' --set 'method[1].dropout=0.0'
run roberta-large-bf16 paper/roberta-large --set dtype=bf16 --set adapter_dtype=fp32 --set attention=eager \
  --set batch=16 --set seq=512 --set 'method[0].targets=all-linear' --set 'method[1].targets=all-linear' \
  --set 'method[0].dropout=0.1' --set 'method[1].dropout=0.1'
# Of RoBERTa-large a run above has the other two, and rank 8 of the next one.
run models paper/models --set 'model=[roberta-base, roberta-large, t5-small, t5-base]' -k '^(?!roberta-large[_ ]peft)'
run rank paper/rank --set 'method[0].rank=[32, 128]' --set 'method[1].rank=[32, 128]'
run models-t5-large paper/models --set model=t5-large
# On an H200.
run autocast paper/autocast
run llama-2-7b-autocast paper/llama-2-7b --set gpu=h200 --set autocast=bf16 \
  --set 'method[0].targets=all-linear' --set 'method[0].adapter_dtype=fp32' \
  --set 'method[1].targets=all-linear' --set 'method[1].adapter_dtype=fp32'
run llama-7b-autocast paper/llama-7b --set gpu=h200 --set autocast=bf16 --set dtype=bf16
run llama-65b paper/llama-65b --set steps.warmup=2 --set steps.timed=1
run llama-2-7b-h200 paper/llama-2-7b --set gpu=h200 \
  --set 'method[0].targets=all-linear' --set 'method[0].adapter_dtype=fp32' \
  --set 'method[1].targets=all-linear' --set 'method[1].adapter_dtype=fp32'
run layer paper/layer --set steps.timed=1

tar -czf "$out/paper.tgz" -C "$work" .
