/*
 * An element is: received-protocol RWS received-by [ RWS comment ].
 */
#include "http/list.h"
#include "proxy/via.h"

void
via_write(struct http_out *out, int minor, const char *id)
{
	http_out_str(
	    out, minor == 0 ? "Via: 1.0 larder (" : "Via: 1.1 larder (");
	http_out_str(out, id);
	http_out_str(out, ")\r\n");
}

/* The next run of bytes without white space. */
static struct bytes
word(struct bytes *rest)
{
	struct bytes out;
	size_t n = 0;

	*rest = bytes_trim(*rest);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	out = bytes_of(rest->p, n);
	*rest = bytes_trim(bytes_skip(*rest, n));
	return out;
}

static bool
is_own(struct bytes element, struct bytes id)
{
	word(&element);
	if (!bytes_ieq(word(&element), BYTES("larder")))
		return false;
	if (element.n == 0)
		return true;
	return element.n == id.n + 2 && element.p[0] == '(' &&
	       bytes_starts(bytes_skip(element, 1), id);
}

bool
via_is_loop(const struct http_head *request, const char *id)
{
	struct http_list list;
	struct bytes element;

	if (!http_has(request, HTTP_F_VIA))
		return false;
	http_list_init(&list, request, HTTP_F_VIA);
	while (http_list_next(&list, &element))
		if (is_own(element, bytes_str(id)))
			return true;
	return false;
}
