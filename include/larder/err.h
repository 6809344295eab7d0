/*
 * The one enum of errors. Every function that can fail returns int: 0, or a
 * negative larder_err; a look-up may also return LARDER_ABSENT (1). What each
 * call can return stands at its declaration.
 */
#ifndef LARDER_ERR_H
#define LARDER_ERR_H

enum larder_err {
	LARDER_OK = 0,
	/* Not an error: there is no such thing, or no more of it. */
	LARDER_ABSENT = 1,
	/* Nothing can be had now; a wake, or an event, follows. */
	LARDER_AGAIN = -1,
	/* Memory, or a bound on it (an arena's limit), ran out. */
	LARDER_NOMEM = -2,
	/* A system call failed; errno says which way. */
	LARDER_IO = -3,
	/* No room: the budget, ENOSPC, EDQUOT. */
	LARDER_NOSPACE = -4,
	/* Bytes on the disk contradict their checksum or their format. */
	LARDER_DAMAGED = -5,
	/* The store was written by another version of the format. */
	LARDER_FORMAT = -6,
	/* Somebody else holds the store. */
	LARDER_LOCKED = -7,
	/* Permission denied. */
	LARDER_ACCESS = -8,
	/* What came in has no valid meaning. */
	LARDER_INVALID = -9,
	/* What came in passes a limit. */
	LARDER_TOOBIG = -10,
	/* The other side ended, or the transfer was aborted. */
	LARDER_CLOSED = -11,
	/* A deadline passed. */
	LARDER_TIMEOUT = -12,
	/* A rule forbids it. */
	LARDER_REFUSED = -13,
	/* A certificate or a TLS handshake failed. */
	LARDER_TLS = -14,
	/* A name does not resolve. */
	LARDER_NONAME = -15,
};

/* A static English phrase without a full stop; never NULL. */
const char *larder_strerror(int err);

#endif
