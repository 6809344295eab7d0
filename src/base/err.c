#include "larder/err.h"

const char *
larder_strerror(int err)
{
	static const char *const phrase[] = {
	    [-LARDER_OK] = "success",
	    [-LARDER_AGAIN] = "nothing can be had now",
	    [-LARDER_NOMEM] = "out of memory",
	    [-LARDER_IO] = "a system call failed",
	    [-LARDER_NOSPACE] = "no room left",
	    [-LARDER_DAMAGED] = "the stored bytes are damaged",
	    [-LARDER_FORMAT] = "the store has another format version",
	    [-LARDER_LOCKED] = "somebody else holds the store",
	    [-LARDER_ACCESS] = "permission denied",
	    [-LARDER_INVALID] = "the input has no valid meaning",
	    [-LARDER_TOOBIG] = "the input passes a limit",
	    [-LARDER_CLOSED] = "the other side ended",
	    [-LARDER_TIMEOUT] = "a deadline passed",
	    [-LARDER_REFUSED] = "a rule forbids it",
	    [-LARDER_TLS] = "TLS failed",
	    [-LARDER_NONAME] = "the name does not resolve",
	};
	const int count = (int)(sizeof(phrase) / sizeof(phrase[0]));

	if (err == LARDER_ABSENT)
		return "there is no such thing";
	if (err > 0 || err <= -count)
		return "unknown error";
	return phrase[-err];
}
