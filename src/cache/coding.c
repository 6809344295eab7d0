/*
 * Negotiation of content codings.
 */
#include "cache/coding.h"

#include "cache/admit.h"
#include "cache/etag.h"
#include "cache/media.h"
#include "cache/vary.h"
#include "http/forward.h"
#include "http/list.h"
#include "larder/check.h"

/* ---- what the client accepts ------------------------------------------ */

struct accepted {
	bool said; /* there is an Accept-Encoding */
	/* In thousandths; 0: not at all. */
	int zstd, gzip;
	/* Likewise; identity needs no mention to be acceptable. */
	int identity;
	bool no_identity;
};

/* Under either name (RFC 9110 8.4.1.3). */
static int
gzip_weight(const struct http_head *head)
{
	int weight = http_coding_weight(head, BYTES("gzip"));

	/* As that of "*": the other name may say more. */
	if (weight == http_coding_weight(head, BYTES("*")))
		weight = http_coding_weight(head, BYTES("x-gzip"));
	return weight;
}

static int
not_negative(int weight)
{
	return weight > 0 ? weight : 0;
}

static struct accepted
accepted(const struct http_head *head)
{
	int identity = http_coding_weight(head, BYTES("identity"));

	return (struct accepted){
	    .said = http_has(head, HTTP_F_ACCEPT_ENCODING),
	    .zstd = not_negative(http_coding_weight(head, BYTES("zstd"))),
	    .gzip = not_negative(gzip_weight(head)),
	    .identity = not_negative(identity),
	    .no_identity = identity == 0,
	};
}

static int
weight_of(const struct accepted *a, enum http_coding coding)
{
	if (coding == HTTP_CODING_ZSTD)
		return a->zstd;
	return coding == HTTP_CODING_GZIP ? a->gzip : 0;
}

/* ---- asking ----------------------------------------------------------- */

static int
replace_accept_encoding(
    const struct http_head *head, struct arena *arena, struct http_head *out)
{
	const struct http_field ours = {.name = BYTES("Accept-Encoding"),
	    .value = BYTES("zstd, gzip"),
	    .id = HTTP_F_ACCEPT_ENCODING};
	bool placed = false;

	*out = *head;
	out->count = 0;
	out->fields =
	    arena_alloc(arena, (head->count + 1) * sizeof(*out->fields));
	if (out->fields == NULL)
		return LARDER_NOMEM;
	http_each_field (f, head) {
		if (f->id != HTTP_F_ACCEPT_ENCODING)
			out->fields[out->count++] = *f;
		else if (!placed)
			out->fields[out->count++] = ours;
		placed |= f->id == HTTP_F_ACCEPT_ENCODING;
	}
	if (!placed)
		out->fields[out->count++] = ours;
	out->present |= UINT64_C(1) << HTTP_F_ACCEPT_ENCODING;
	return 0;
}

int
cache_coding_ask(struct cache_request *r, const struct cache_policy *policy,
    bool revalidates, struct arena *arena)
{
	struct accepted a = accepted(r->head);
	struct http_head *asked;

	r->asked = r->head;
	r->recodes = policy->compress && !r->control.no_transform;
	if (!r->recodes || r->ranged ||
	    (!revalidates && a.zstd == 0 && a.gzip == 0))
		return 0;
	asked = arena_alloc(arena, sizeof(*asked));
	if (asked == NULL || replace_accept_encoding(r->head, arena, asked) < 0)
		return LARDER_NOMEM;
	r->asked = asked;
	return 0;
}

/* ---- what came -------------------------------------------------------- */

static enum http_coding
coding_of_response(const struct http_head *response)
{
	struct http_list list;
	struct bytes element;
	enum http_coding coding = HTTP_CODING_IDENTITY;
	unsigned count = 0;

	http_list_init(&list, response, HTTP_F_CONTENT_ENCODING);
	while (http_list_next(&list, &element)) {
		coding = http_coding_parse(element);
		count++;
	}
	return count > 1 ? HTTP_CODING_OTHER : coding;
}

/*
 * Some servers say of a file that is compressed itself that it is so coded: who
 * fetches a .tar.gz wants that, not a .tar. Nor was a coding meant for the way
 * that nobody had asked for, unless the type says so.
 */
static bool
is_the_file_itself(const struct http_head *asked,
    const struct http_head *response, enum http_coding coding)
{
	struct bytes type = http_value(response, HTTP_F_CONTENT_TYPE);
	struct accepted a = accepted(asked);

	if (media_is_packed(type, asked->target))
		return true;
	return weight_of(&a, coding) == 0 && !media_gains(type, asked->target);
}

unsigned
cache_coding_gains(
    const struct http_head *asked, const struct http_head *response)
{
	return media_gains(
		   http_value(response, HTTP_F_CONTENT_TYPE), asked->target)
		   ? CACHE_GAINS
		   : 0;
}

unsigned
cache_coding_flags(
    const struct http_head *asked, const struct http_head *response)
{
	enum http_coding coding = coding_of_response(response);
	unsigned gains = cache_coding_gains(asked, response);

	if (coding == HTTP_CODING_IDENTITY)
		return gains | CACHE_IDENTITY;
	if (coding == HTTP_CODING_OTHER ||
	    is_the_file_itself(asked, response, coding))
		return gains;
	return gains | (coding == HTTP_CODING_GZIP ? CACHE_GZIP : CACHE_ZSTD);
}

enum http_coding
cache_coding_of(unsigned flags)
{
	switch (flags & CACHE_CODINGS) {
	case CACHE_IDENTITY:
		return HTTP_CODING_IDENTITY;
	case CACHE_GZIP:
		return HTTP_CODING_GZIP;
	case CACHE_ZSTD:
		return HTTP_CODING_ZSTD;
	default:
		return HTTP_CODING_OTHER;
	}
}

/* Parts are joined, and ranges are of bytes as they are stored: who cannot have
 * those coded has no use for them. */
static bool
is_of_no_use(const struct cache_request *r, const struct cache_meta *m)
{
	enum http_coding coding = cache_coding_of(m->flags);
	struct accepted a = accepted(r->head);

	return cache_is_part(m) && coding != HTTP_CODING_IDENTITY &&
	       coding != HTTP_CODING_OTHER && weight_of(&a, coding) == 0;
}

bool
cache_coding_matches(const struct cache_request *r, struct bytes variant,
    const struct cache_meta *m, struct arena *arena)
{
	if (!r->recodes || (m->flags & CACHE_NO_TRANSFORM) ||
	    cache_coding_of(m->flags) == HTTP_CODING_OTHER)
		return cache_variant_matches(variant, r->asked, arena);
	if (is_of_no_use(r, m))
		return false;
	if (cache_is_part(m))
		return cache_variant_matches(variant, r->asked, arena);
	return cache_variant_matches_but(
	    variant, r->asked, HTTP_F_ACCEPT_ENCODING, arena);
}

/* ---- choosing --------------------------------------------------------- */

static bool
is_whole_content(int status)
{
	return status >= 200 && status != 204 && status != 205 &&
	       status != 206 && status != 304;
}

/* IDENTITY: neither. Where the client does not care, the cheaper one. */
static enum http_coding
preferred(const struct accepted *a)
{
	if (a->zstd == 0 && a->gzip == 0)
		return HTTP_CODING_IDENTITY;
	return a->zstd >= a->gzip ? HTTP_CODING_ZSTD : HTTP_CODING_GZIP;
}

void
cache_coding_choose(const struct cache_request *r, const struct cache_meta *m,
    uint64_t length, bool shared, const struct cache_policy *policy,
    struct cache_coding *out)
{
	enum http_coding from = cache_coding_of(m->flags), best;
	struct accepted a = accepted(r->head);
	bool gains;

	*out = (struct cache_coding){.from = from, .to = from};
	if (!policy->compress || (m->flags & CACHE_NO_TRANSFORM) ||
	    from == HTTP_CODING_OTHER || !is_whole_content(m->status) ||
	    length == 0)
		return;
	gains =
	    (m->flags & CACHE_GAINS) && shared && length >= CACHE_CODING_LEAST;
	out->varies = gains || from != HTTP_CODING_IDENTITY;
	if (r->control.no_transform || weight_of(&a, from) > 0)
		return;
	best = preferred(&a);
	out->needed = from != HTTP_CODING_IDENTITY || a.no_identity;
	/* What is coded for one who accepts it plain must be worth it. */
	if (!a.no_identity && (!gains || weight_of(&a, best) < a.identity))
		best = HTTP_CODING_IDENTITY;
	/* Nothing that it accepts can be made (RFC 9110 12.5.3). */
	if (a.no_identity && best == HTTP_CODING_IDENTITY)
		best = from;
	out->to = best;
	out->needed &= from != best;
	out->varies |= from != best;
}

/* ---- the head --------------------------------------------------------- */

/* Of the bytes as they came. */
static bool
is_of_old_bytes(const struct http_field *f)
{
	static const char *const digests[] = {
	    "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"};

	if (f->id == HTTP_F_CONTENT_ENCODING || f->id == HTTP_F_ACCEPT_RANGES)
		return true;
	if (f->id == HTTP_F_OTHER)
		for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
			if (bytes_ieq(f->name, bytes_str(digests[i])))
				return true;
	return false;
}

static void
write_weak(struct http_out *out, const struct http_field *etag)
{
	http_out_bytes(out, etag->name);
	http_out_bytes(out, BYTES(": W/"));
	http_out_bytes(out, etag->value);
	http_out_bytes(out, BYTES("\r\n"));
}

/* Is it said already? */
static bool
has_vary(const struct http_head *head)
{
	return http_list_has(head, HTTP_F_VARY, BYTES("*")) ||
	       http_list_has(head, HTTP_F_VARY, BYTES("Accept-Encoding"));
}

/* Its last line, with one name more. */
static void
write_vary(struct http_out *out, const struct http_field *vary)
{
	http_out_bytes(out, vary->name);
	http_out_bytes(out, BYTES(": "));
	http_out_bytes(out, vary->value);
	http_out_bytes(out, vary->value.n > 0 ? BYTES(", ") : BYTES(""));
	http_out_bytes(out, BYTES("Accept-Encoding\r\n"));
}

static void
write_fields(struct http_out *out, const struct http_head *head,
    const struct cache_coding *coding, bool add_vary)
{
	bool anew = coding->from != coding->to;

	http_each_field (f, head) {
		if (anew && is_of_old_bytes(f))
			continue;
		if (anew && f->id == HTTP_F_ETAG &&
		    !cache_etag_is_weak(f->value)) {
			write_weak(out, f);
		} else if (add_vary && f->id == HTTP_F_VARY &&
			   http_next(head, HTTP_F_VARY, f) == NULL) {
			write_vary(out, f);
			add_vary = false;
		} else {
			http_out_field(out, f->name, f->value);
		}
	}
	if (anew && coding->to != HTTP_CODING_IDENTITY)
		http_out_field(out, BYTES("Content-Encoding"),
		    http_coding_name(coding->to));
	if (add_vary)
		http_out_field(out, BYTES("Vary"), BYTES("Accept-Encoding"));
}

static bool
lacks_vary(struct bytes form)
{
	const struct bytes name = BYTES("vary:");
	const char *at = form.p, *end = form.p + form.n;

	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		at++;
		if ((size_t)(end - at) >= name.n &&
		    bytes_ieq(bytes_of(at, name.n), name))
			return false;
	}
	return true;
}

static int
append_vary(struct bytes form, struct arena *arena, struct bytes *out)
{
	struct http_out o;

	http_out_init(&o, arena, form.n + 64);
	http_out_bytes(&o, form);
	http_out_bytes(&o, BYTES("Vary: Accept-Encoding\r\n"));
	*out = http_out_done(&o);
	return out->p == NULL ? LARDER_NOMEM : 0;
}

int
cache_coding_form(struct bytes form, const struct cache_coding *coding,
    struct arena *arena, struct bytes *out)
{
	struct http_head head;
	struct http_out o;
	const char *end;
	bool add_vary;
	int err;

	*out = form;
	if (!coding->varies)
		return 0;
	/* Most hits on text: all of it stays, and need not be parsed. */
	if (coding->from == coding->to && lacks_vary(form))
		return append_vary(form, arena, out);
	err = cache_head_parse(form, arena, &head);
	if (err < 0)
		return err;
	add_vary = !has_vary(&head);
	if (coding->from == coding->to && !add_vary)
		return 0;
	http_out_init(&o, arena, form.n + 64);
	end = memchr(form.p, '\n', form.n);
	http_out_bytes(&o, bytes_of(form.p, (size_t)(end - form.p) + 1));
	write_fields(&o, &head, coding, add_vary);
	*out = http_out_done(&o);
	return out->p == NULL ? LARDER_NOMEM : 0;
}
