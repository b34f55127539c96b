refuse the-kernel-has-no-bpf-lsm grep -q bpf /sys/kernel/security/lsm
node_start
policies 04-deny.yaml
denied() { cat /etc/shadow 2>&1 | grep -q 'Operation not permitted'; }
check denies denied
check other-files-are-read cat /etc/hostname
lictor node status >"$WORK/status"
contains status-says-it 'BPF LSM no' cat "$WORK/status"
contains hook-point-says-it 'fmod_ret' cat "$WORK/status"
contains why 'BPF LSM is off' grep -m 1 fmod "$WORK/status"
contains explain-says-it 'BPF LSM is off' lictor policy explain /lab/examples/04-deny.yaml
contains log-says-it 'BPF LSM is off' cat "$LOG"
contains log-says-what-to-do 'lsm=' grep 'BPF LSM is off' "$LOG"
contains status-says-what-to-do 'lsm=' grep 'BPF LSM is off: ' "$WORK/status"
expect metric-says-it 0 metric lictor_kernel_bpf_lsm

# What is left for an enforcer is carried out by the same means.
cat >"$EXAMPLES/notified.yaml" <<-END
	apiVersion: lictor.io/v1alpha1
	kind: TracingPolicy
	metadata: {name: notified}
	spec:
	  enforcers: [{calls: [security_file_open]}]
	  kprobes:
	  - call: sys_umask
	    args: [{index: 0, type: int}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Equal, values: ["25"]}]
	      matchActions: [{action: NotifyEnforcer, argError: -1}]
END
policies notified.yaml
notified_and_opens() {
	{
		umask 0031
		umask 0022
		read -rN 1 _ </etc/hostname && echo allow
		read -rN 1 _ </etc/hostname && echo allow
	} 2>&1 | sed 's/.*: //'
}
expect an-enforcer-denies-once "$(printf '%s\n' 'Operation not permitted' allow)" notified_and_opens
