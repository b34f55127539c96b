# Actions.

does() { on_open "act-$1" "matchActions: [$2]"; }
does post '{action: Post}'
does signal '{action: Signal, argSig: 10}'
does sigkill '{action: Sigkill}'
does override '{action: Override, argError: -13}'
does kill-and-override '{action: Sigkill}, {action: Override, argError: -13}'
does no-post '{action: Override, argError: -2}, {action: NoPost}'
does monitor '{action: Override, argError: -1}, {action: Sigkill}'
sed -i 's/^spec:/spec:\n  options: [{name: policy-mode, value: monitor}]/' "$NEW/act-monitor.yaml"
does dns '{action: DnsLookup, argFqdn: canary.lictor.example}'
on_function act-function security_file_open 0 'matchActions: [{action: Override, argError: -40}]'
policy act-first-selector <<-END
	  lsmhooks:
	  - hook: file_open
	    message: a message
	    tags: [one, two]
	    args: [{index: 0, type: file, label: opened}]
	    selectors:
	    - label: readers
	      matchArgs: [{index: 0, operator: Equal, values: [$W/act-first-selector]}]
	      matchBinaries: [{operator: In, values: [/usr/bin/cat]}]
	    - label: others
	      matchArgs: [{index: 0, operator: Equal, values: [$W/act-first-selector]}]
	      matchActions: [{action: Override, argError: -1}]
END
# At its end a process closes what it has open, and takes no signal any more.
on_function act-signal-fails filp_close 0 'matchActions: [{action: Signal, argSig: 10}]'
policy act-return <<-END
	  kprobes:
	  - call: sys_rmdir
	    return: true
	    returnArg: {index: 0, type: int}
	    args: [{index: 0, type: string}]
	    selectors:
	    - matchArgs: [{index: 0, operator: Prefix, values: [$W/act-return]}]
	      matchReturnArgs: [{index: 0, operator: Equal, values: ['-20']}]
	      matchReturnActions: [{action: Sigkill}]
END
content=content
lookups_counted() { [ "$(metric 'lictor_dns_lookup_total{result="ok"}')" = 1 ]; }
lookups() {
	names_begin
	expect act-dns-passes $content cat $W/act-dns
	check act-dns-asks eventually 60 grep -x canary.lictor.example "$WORK/names"
	check act-dns-is-counted eventually 60 lookups_counted
	names_end
}
actions() {
	expect act-post-passes $content cat $W/act-post
	expect act-signal-arrives 'signal 10' bash -c "trap 'echo signal 10' USR1; : <$W/act-signal"
	expect act-sigkill-kills 137 status_of cat $W/act-sigkill
	expect act-override-denies "cat: $W/act-override: Permission denied" cat $W/act-override
	expect act-kill-and-override-kills 137 status_of cat $W/act-kill-and-override
	expect act-no-post-denies "cat: $W/act-no-post: No such file or directory" cat $W/act-no-post
	expect act-no-post-is-counted 1 metric 'lictor_policy_denied_total{policy="act-no-post",mode="enforce"}'
	expect act-monitor-passes $content cat $W/act-monitor
	expect act-monitor-is-counted 1 metric 'lictor_policy_monitored_total{policy="act-monitor",mode="monitor"}'
	expect act-function-denies "cat: $W/act-function: Too many levels of symbolic links" cat $W/act-function
	lookups
	expect act-first-selector-passes $content cat $W/act-first-selector
	refuse act-second-selector-denies head -n 1 $W/act-first-selector
	sh -c "exec 3<$W/act-signal-fails"
	expect act-return-kills 137 status_of rmdir $W/act-return
	expect act-return-by-what-is-returned 1 status_of rmdir $W/act-return-nothing
}
workload actions

limit() { on_open "rate-$1" "matchActions: [{action: Post, rateLimit: 60m, rateLimitScope: $1}]"; }
limit thread
limit process
limit global
on_open rate-none 'matchActions: [{action: Post}]'
rates() {
	local name
	for name in thread process global none; do
		for _ in 1 2; do lictor-lab tool threads --threads 2 --times 3 $W/rate-$name; done
	done
}
workload rates

# The node worker ends and another goes on: a process that ran before the first, and one that began after it.
on_open restart 'matchActions: [{action: Post}]'
opened_by_both() {
	old ": <$W/restart"
	shell_does $W/new ": <$W/restart"
}
restart() {
	mkfifo $W/quiet.pipe
	shell_begin bash $W/new
	local newer=$!
	opened_by_both
	# Until it has read that it has written: its successor would tell of that as of somebody else. Without a program, whose
	# end would be written just before the kill.
	read -rt 5 <>$W/quiet.pipe
	kill -9 $NODE
	wait $NODE 2>/dev/null
	opened_by_both
	node_start
	opened_by_both
	kill $newer
}
workload restart

# What the node worker writes for each line would make one more line.
on_call own-writes sys_write '{index: 0, type: fd}, {index: 2, type: size_t}' "{index: 0, operator: Equal, values: [$EVENTS]}"
own_writes() { check own-writes-are-counted eventually 30 test "$(metric lictor_records_own_total)" -gt 0; }
workload own_writes
