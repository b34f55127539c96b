#!/usr/bin/busybox sh
# PID 1 of a node: mounts, network, containerd, kubelet. Its output is the console of the second serial port.
export PATH=/usr/bin:/usr/sbin HOME=/root
if [ "$1" != mounted ]; then
	# The first root cannot be pivoted away from, which runc does for each container.
	mount --bind / /mnt
	cd /mnt
	mount --move . /
	exec chroot . /init mounted
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for directory in /dev/shm /tmp /run; do mount -t tmpfs tmpfs $directory; done
ln -s /proc/self/fd /dev/fd
mount -t securityfs securityfs /sys/kernel/security
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
step() { read -r up _ </proc/uptime; echo "step $up $*"; }
step userspace

for module in /node/modules/*; do insmod "$module" || echo "module $module cannot be inserted"; done
mount -t ext4 -o noatime /dev/vda /var/lib
mkdir -p /var/lib/containerd /var/lib/kubelet
mount --make-rshared /

# Processes may not be in a cgroup that has controllers for its children.
mkdir /sys/fs/cgroup/init
for process in $(cat /sys/fs/cgroup/cgroup.procs); do
	echo "$process" >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null
done
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
	echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
done

. /node/settings
echo "$NODE" >/proc/sys/kernel/hostname
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
printf '127.0.0.1 localhost\n10.0.2.15 %s\n' "$NODE" >/etc/hosts
for setting in net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables vm/overcommit_memory kernel/panic_on_oops; do
	echo 1 >/proc/sys/$setting
done
echo 10 >/proc/sys/kernel/panic
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
# There is no kube-proxy: the one Service that is needed is the API server's.
for chain in PREROUTING OUTPUT; do
	iptables -t nat -A $chain -d "$API_SERVICE" -p tcp --dport 443 -j DNAT --to-destination "$API_ADDRESS"
done
# A shell for the tests, and the way into the node for the API server.
nc -ll -p 2222 -e /usr/bin/bash >/dev/null 2>&1 &
/node/relay/loader --library-path /node/relay /node/relay/lictor-lab relay 0.0.0.0:3128 &
step network

containerd --config /node/containerd.toml --log-level warn &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done
step containerd
for image in /node/images/*.tar; do
	ctr --namespace k8s.io images import "$image" >/dev/null || echo "image $image cannot be imported"
	rm "$image"
done
ctr --namespace k8s.io images label "$PAUSE_IMAGE" io.cri-containerd.pinned=pinned >/dev/null
step images

# Started again when it ends, as systemd would.
while :; do
	kubelet --config=/node/kubelet.json --kubeconfig=/node/kubelet.kubeconfig --hostname-override="$NODE" \
		--node-ip=10.0.2.15 --root-dir=/var/lib/kubelet --node-labels="$LABELS"
	step "kubelet ended with $?"
	sleep 1
done &
step kubelet
while :; do wait; sleep 1; done
