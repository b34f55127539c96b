#!/usr/bin/busybox sh
# PID 1 of a lab guest: mounts what a booted machine has, runs the command, reports and powers off.
#
# ttyS1 carries the command's output as raw bytes. It is the command's stdout itself, with no process in between that
# a policy under test could see or kill. ttyS2 carries the report: `boot UPTIME RELEASE`, `exit CODE UPTIME`, for each
# file left in /out `file SIZE NAME` and its bytes, and `done`.
export PATH=/usr/bin HOME=/root USER=root SHELL=/usr/bin/bash LAB_OUT=/out
if [ "$1" != mounted ]; then
	# The first root cannot be pivoted away from; a mount of it moved on top can, as on a machine that booted from
	# a disk.
	mount --bind / /lab/root
	cd /lab/root
	mount --move . /
	exec chroot . /init mounted
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for directory in /dev/shm /tmp /run; do mount -t tmpfs tmpfs $directory; done
chmod 1777 /dev/shm /tmp
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
mount -t securityfs securityfs /sys/kernel/security
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ifconfig lo up
hostname -F /etc/hostname

uptime() { read -r up _ </proc/uptime; echo "$up"; }
# Two ports are opened once and kept open, so that nothing is thrown away by a last close.
exec 8>/dev/ttyS1 9>/dev/ttyS2
stty -F /dev/ttyS1 raw -echo
stty -F /dev/ttyS2 raw -echo
echo "boot $(uptime) $(uname -r)" >&9

code=0
for module in /lab/modules/*; do
	[ -e "$module" ] || continue
	insmod "$module" >&8 2>&1 || { echo "lab: module ${module##*/} cannot be inserted" >&8; code=125; }
done
if [ $code = 0 ]; then
	cd /root
	bash /lab/command </dev/null >&8 2>&8 8>&- 9>&-
	code=$?
fi

# Changing a terminal's modes waits until everything written to it has left.
stty -F /dev/ttyS1 raw -echo
echo "exit $code $(uptime)" >&9
find /out -type f | while read -r file; do
	echo "file $(stat -c %s "$file") ${file#/out/}" >&9
	cat "$file" >&9
done
echo done >&9
stty -F /dev/ttyS2 raw -echo
exec poweroff -f
