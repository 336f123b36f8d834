#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The command "lab" keeps its promises: output, exit status, environment, folder, limits, signals.
set -u

cd "$(dirname "$(readlink -f "$0")")/../.." || exit
export FORKVM_LAB=force
lab=tests/lab/lab
scratch=$(mktemp -d) || exit
trap 'rm -rf "$scratch"' EXIT
failed=0

# expect WHAT GOT WANTED
expect() {
	if [[ $2 == "$3" ]]; then
		echo "ok     $1"
	else
		printf 'FAILED %s\n  wanted: %q\n  got:    %q\n' "$1" "$3" "$2"
		cat "$scratch/err"
		failed=$((failed + 1))
	fi
}

mkdir "$scratch/a folder"
# shellcheck disable=SC2016 # for the shell inside
inside='echo "out $1"; echo err >&2; echo "$COLOUR"; pwd; echo kept >"$2/file"; echo gone >"$3"
sleep 1000 & exit 7'
out=$(COLOUR=$'two\nlines' $lab run --quiet --share "$scratch/a folder" -- \
	bash -c "$inside" x "a 'quoted' \$word" "$scratch/a folder" "$scratch/gone" 2>"$scratch/err")
expect "exit status" $? 7
expect "standard output" "$out" "out a 'quoted' \$word"$'\n'"two"$'\n'"lines"$'\n'"$PWD"
expect "standard error" "$(<"$scratch/err")" "err"
expect "a shared folder's file is kept" "$(cat "$scratch/a folder/file" 2>&1)" "kept"
expect "any other is not" "$(ls "$scratch")" "a folder"$'\n'"err"

$lab run --quiet --timeout 12 -- sleep 1000 2>"$scratch/err"
expect "the time is up" $? 124
# shellcheck disable=SC2016 # for the shell inside
$lab run --quiet -- bash -c 'echo c >/proc/sysrq-trigger' 2>"$scratch/err"
expect "a panic" $? 125
expect "the panic is shown" "$(grep -c 'Kernel panic' "$scratch/err")" 1

$lab run --quiet -- bash -c 'echo started; sleep 1000' >"$scratch/out" 2>"$scratch/err" &
pid=$!
until [[ -s $scratch/out ]] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
qemu=$(pgrep -P "$(pgrep -d, -P $pid)" qemu-system-x86)
kill -TERM $pid
wait $pid
expect "SIGTERM" $? 143
for ((try = 0; try < 100; try++)); do
	[[ -e /proc/$qemu ]] || break
	sleep 0.1
done
expect "the outer machine ends with it" "${qemu:+$(ls -d "/proc/$qemu" 2>/dev/null)}" ""
expect "there was one" "${qemu:+yes}" yes

# A machine that stands still, as TCG leaves one now and then, is started once more.
rm "$scratch/out"
stopper="-chardev socket,id=stopper,path=$scratch/stopper,server=on,wait=off -mon stopper"
# shellcheck disable=SC2016 # for the shell inside
inside='mkdir "$1/first" 2>/dev/null || exit 9; echo begun; sleep 1000'
FORKVM_LAB_DEAD_SECONDS=30 FORKVM_LAB_QEMU=$stopper $lab run --quiet --share "$scratch/a folder" -- \
	bash -c "$inside" x "$scratch/a folder" >"$scratch/out" 2>"$scratch/err" &
pid=$!
until [[ -s $scratch/out ]] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
tests/lab/monitor.py "$scratch/stopper" stop >>"$scratch/err"
wait $pid
expect "a machine that stopped dead is started again" $? 9
expect "which is said" "$(grep -c 'stopped dead' "$scratch/err")" 1
((failed == 0))
