#!/bin/sh
# The guest's first process: mounts, then runs what the host types on the second serial line.
# A request is `MARK COMMAND...`; its output goes back, and then a line `MARK STATUS`.
export PATH=/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
ip link set lo up

stty raw -echo </dev/ttyS1
exec <>/dev/ttyS1 >&0 2>&1
echo "guest is up"
while read -r mark command; do
  (eval "$command") </dev/null
  printf '\n%s %s\n' "$mark" $?
done
poweroff -f
