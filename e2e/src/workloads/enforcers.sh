# Notifications for the calls of a policy's enforcer. Threads are notified by an alarm after a number of seconds that stands for
# the policy.

alarmed() { # NAME SECONDS CALLS ACTION
	on_call "$1" sys_alarm '{index: 0, type: uint32}' "{index: 0, operator: Equal, values: [$2]}" "matchActions: [$4]"
	sed -i "s/^spec:/spec:\n  enforcers: [{calls: [$3]}]/" "$NEW/$1.yaml"
}
alarmed ntf-deny 4001 security_path_mkdir '{action: NotifyEnforcer, argError: -13}'
alarmed ntf-both 4003 security_path_mkdir '{action: NotifyEnforcer, argError: -2, argSig: 10}'
alarmed ntf-clean 4004 security_path_mkdir '{action: NotifyEnforcer, argError: -13}, {action: NoPost}'
cat >>"$NEW/ntf-clean.yaml" <<-END
	    - matchArgs: [{index: 0, operator: Equal, values: [4005]}]
	      matchActions: [{action: CleanupEnforcerNotification}]
END
alarmed ntf-monitor 4006 security_path_mkdir '{action: NotifyEnforcer, argError: -13, argSig: 9}'
sed -i 's/^spec:/spec:\n  mode: monitor/' "$NEW/ntf-monitor.yaml"
alarmed ntf-first 4007 security_path_mkdir '{action: NotifyEnforcer, argError: -13}, {action: NoPost}'
alarmed ntf-second 4007 security_path_rmdir '{action: NotifyEnforcer, argError: -1}, {action: NoPost}'
alarmed ntf-thread 4008 security_path_mkdir '{action: NotifyEnforcer, argError: -13}'
alarmed ntf-here 4009 sys_alarm '{action: NotifyEnforcer, argSig: 10}'
alarmed ntf-every 4010 list:all '{action: NotifyEnforcer, argSig: 10}'
sed -i 's/^spec:/spec:\n  lists: [{name: all, type: generated_syscalls}]/' "$NEW/ntf-every.yaml"
# As the established language's own example, but for the error: `index` is a place, and the call is the one that is entered.
policy ntf-kill <<-END
	  lists: [{name: dups, type: syscalls, values: [sys_dup2, sys_dup3, __ia32_sys_dup2]}]
	  enforcers: [{calls: ["list:dups"]}]
	  tracepoints:
	  - subsystem: raw_syscalls
	    event: sys_enter
	    args: [{index: 4, type: syscall64}]
	    selectors:
	    - matchArgs: [{index: 0, operator: InMap, values: ["list:dups"]}]
	      matchBinaries: [{operator: In, values: [$W/bin/duping]}]
	      matchActions: [{action: NotifyEnforcer, argSig: 9}]
END

after_alarm() { perl /lab/alarm.pl "$@"; }
lines() { printf '%s\n' "$@"; }
enforcers() {
	local denied='mkdir: Permission denied' passed='mkdir: done' of=$W/ntf
	cp /usr/bin/perl $W/bin/duping
	mkdir -p $of
	expect ntf-deny-denies-once "$(lines "$denied" "$passed")" after_alarm 4001 mkdir:$of/deny mkdir:$of/deny
	expect ntf-both-do "$(lines signal 'mkdir: No such file or directory')" after_alarm 4003 mkdir:$of/both
	expect ntf-clean-passes "$passed" after_alarm 4004,4005 mkdir:$of/clean
	expect ntf-monitor-passes "$passed" after_alarm 4006 mkdir:$of/monitor
	expect ntf-monitor-is-counted 1 metric 'lictor_policy_monitored_total{policy="ntf-monitor",mode="monitor"}'
	expect ntf-others-are-apart "$(lines "$passed" 'rmdir: Operation not permitted' 'rmdir: done' "$denied")" \
		after_alarm 4007 child-mkdir:$of/other rmdir:$of/other rmdir:$of/other mkdir:$of/other
	expect ntf-is-of-a-thread "$(lines "$passed" "$denied")" after_alarm 4008 child-mkdir:$of/child mkdir:$of/parent
	expect ntf-here-signals signal after_alarm 4009
	expect ntf-every-signals signal after_alarm 4010
	expect ntf-kill-kills 137 status_of $W/bin/duping -e 'syscall 33, 1, 9'
	expect ntf-kill-passes-others 0 status_of perl -e 'syscall 33, 1, 9'
	expect ntf-denials-are-counted 1 metric 'lictor_policy_denied_total{policy="ntf-deny",mode="enforce"}'
	expect ntf-signals-are-counted 1 metric 'lictor_policy_signalled_total{policy="ntf-kill",mode="enforce"}'
}
workload enforcers
