/* The types of probed.c, with the function that they are looked up by. Compiled for their description alone. */
#include "request.h"

/* A pointer within a structure is described by name, unless something else needs what it leads to. */
int peer_of(struct lab_peer *peer)
{
	return peer->port;
}

struct lab_peer *lab_handle(struct lab_request *request, int flags)
{
	return request->peer;
}
