#include "http/forward.h"
#include "net/conn.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/interim.h"

static struct bytes
head_of(struct exchange *x, const struct http_head *interim)
{
	struct http_out out;

	http_out_init(&out, &x->arena, 256);
	http_out_str(&out, "HTTP/1.1 ");
	http_out_u64(&out, (uint64_t)interim->status);
	http_out_str(&out, " ");
	http_out_str(&out, http_reason(interim->status));
	http_out_str(&out, "\r\n");
	http_each_field (field, interim)
		if (field->id != HTTP_F_CONTENT_LENGTH &&
		    http_field_passes(interim, field))
			http_out_field(&out, field->name, field->value);
	http_out_str(&out, "\r\n");
	return http_out_done(&out);
}

void
interim_relay(struct exchange *x, const struct http_head *interim)
{
	struct bytes head = head_of(x, interim);
	struct iovec iov = {(void *)(uintptr_t)head.p, head.n};
	ssize_t n = LARDER_AGAIN;

	/* One that waits is enough: a client that does not read has no use
	 * for hints. And where a gap in the middle of a body is asked for, it
	 * would stand in that. */
	if (head.p == NULL || x->before_count > 0 || x->step != STEP_AWAIT ||
	    x->answered)
		return;
	n = conn_writev(x->client->conn, &iov, 1, false);
	if (n == (ssize_t)head.n || (n < 0 && n != LARDER_AGAIN))
		return;
	x->interim_begun = n > 0;
	if (n > 0)
		head = bytes_skip(head, (size_t)n);
	x->before[0].iov_base = (void *)(uintptr_t)head.p;
	x->before[0].iov_len = head.n;
	x->before_count = 1;
}
