/* Structures of a program. What watches it is told of them by BTF, which clang makes for the kernel's programs alone. */

struct lab_peer {
	unsigned short port;
	const char *host;
};

struct lab_request {
	int code;
	char name[12];
	struct lab_peer *peer;
	union {
		long sizes[2];
		void *nothing;
	};
};

struct lab_peer *lab_handle(struct lab_request *request, int flags);
