/*
 * Heads of HTTP/1.x messages (RFC 9112): strict, one meaning or refused. Views
 * point into the bytes that were parsed. Pure: no sockets, no clock.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/arena.h"
#include "larder/bytes.h"
#include "larder/err.h"

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_PATCH,
	HTTP_OPTIONS,
	HTTP_TRACE,
	HTTP_CONNECT,
	HTTP_OTHER_METHOD, /* any other token; methods are case-sensitive */
};

/* Fields that larder itself looks at. At most 64: a set is a uint64_t. */
#define HTTP_FIELDS(X)                                            \
	X(ACCEPT, "Accept")                                       \
	X(ACCEPT_ENCODING, "Accept-Encoding")                     \
	X(ACCEPT_LANGUAGE, "Accept-Language")                     \
	X(ACCEPT_RANGES, "Accept-Ranges")                         \
	X(AGE, "Age")                                             \
	X(AUTHORIZATION, "Authorization")                         \
	X(CACHE_CONTROL, "Cache-Control")                         \
	X(CACHE_STATUS, "Cache-Status")                           \
	X(CDN_CACHE_CONTROL, "CDN-Cache-Control")                 \
	X(CONNECTION, "Connection")                               \
	X(CONTENT_ENCODING, "Content-Encoding")                   \
	X(CONTENT_LENGTH, "Content-Length")                       \
	X(CONTENT_LOCATION, "Content-Location")                   \
	X(CONTENT_RANGE, "Content-Range")                         \
	X(CONTENT_TYPE, "Content-Type")                           \
	X(COOKIE, "Cookie")                                       \
	X(DATE, "Date")                                           \
	X(ETAG, "ETag")                                           \
	X(EXPECT, "Expect")                                       \
	X(EXPIRES, "Expires")                                     \
	X(HOST, "Host")                                           \
	X(HTTP2_SETTINGS, "HTTP2-Settings")                       \
	X(IF_MATCH, "If-Match")                                   \
	X(IF_MODIFIED_SINCE, "If-Modified-Since")                 \
	X(IF_NONE_MATCH, "If-None-Match")                         \
	X(IF_RANGE, "If-Range")                                   \
	X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")             \
	X(KEEP_ALIVE, "Keep-Alive")                               \
	X(LAST_MODIFIED, "Last-Modified")                         \
	X(LOCATION, "Location")                                   \
	X(MAX_FORWARDS, "Max-Forwards")                           \
	X(PRAGMA, "Pragma")                                       \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate")               \
	X(PROXY_AUTHENTICATION_INFO, "Proxy-Authentication-Info") \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization")             \
	X(PROXY_CONNECTION, "Proxy-Connection")                   \
	X(RANGE, "Range")                                         \
	X(REFERER, "Referer")                                     \
	X(SET_COOKIE, "Set-Cookie")                               \
	X(TE, "TE")                                               \
	X(TRAILER, "Trailer")                                     \
	X(TRANSFER_ENCODING, "Transfer-Encoding")                 \
	X(UPGRADE, "Upgrade")                                     \
	X(USER_AGENT, "User-Agent")                               \
	X(VARY, "Vary")                                           \
	X(VIA, "Via")                                             \
	X(WWW_AUTHENTICATE, "WWW-Authenticate")                   \
	X(X_FORWARDED_FOR, "X-Forwarded-For")

enum http_field_id {
#define HTTP_FIELD_ENUM(id, name) HTTP_F_##id,
	HTTP_FIELDS(HTTP_FIELD_ENUM)
#undef HTTP_FIELD_ENUM
	    HTTP_F_OTHER /* none of these */
};

struct http_field {
	struct bytes name;  /* as received: a token */
	struct bytes value; /* without white space around it */
	enum http_field_id id;
};

struct http_head {
	/* of a request */
	enum http_method method;
	struct bytes method_text;
	struct bytes target;
	/* of a response */
	int status; /* 100 to 999; 0 in a request */
	struct bytes reason;
	/* of both */
	int minor;		   /* HTTP/1.minor: 0, or 1 for all above */
	struct http_field *fields; /* in the arena, in order received */
	unsigned count;
	uint64_t present; /* bit of each known field that occurs */
};

struct http_limits {
	size_t line;	 /* of the request line, in bytes */
	size_t head;	 /* all of it, in bytes */
	unsigned fields; /* how many */
	size_t field;	 /* one field line, in bytes; 0: as long as head */
};

/* What a bad request is answered with. text: static, for people. */
struct http_fault {
	int status; /* 400, 414, 431, 501, 505; 502 of a response */
	const char *text;
};

/*
 * Finds the end of a head in what came so far. *scanned is where it goes on;
 * 0 at first. 0: *size bytes are the head with its empty line (for a request,
 * up to 4 empty lines before it are counted in). LARDER_AGAIN: more is needed.
 * LARDER_INVALID (a bare CR or LF, NUL: known before the end) or LARDER_TOOBIG,
 * with *fault.
 */
int http_head_scan(struct bytes in, const struct http_limits *limits,
    bool request, size_t *scanned, size_t *size, struct http_fault *fault);

/* in: one whole head as http_head_scan() measured it. 0; LARDER_INVALID or
 * LARDER_TOOBIG with *fault; LARDER_NOMEM (the arena) with *fault. */
int http_parse_request(struct bytes in, const struct http_limits *limits,
    struct arena *arena, struct http_head *out, struct http_fault *fault);
int http_parse_response(struct bytes in, const struct http_limits *limits,
    struct arena *arena, struct http_head *out, struct http_fault *fault);
/* Field lines alone (trailers), each with its CRLF, no empty line. */
int http_parse_fields(struct bytes in, const struct http_limits *limits,
    struct arena *arena, struct http_head *out, struct http_fault *fault);

static inline bool
http_has(const struct http_head *head, enum http_field_id id)
{
	return (head->present >> id & 1) != 0;
}

/* The first with that id behind `after` (NULL: from the start), or NULL. */
const struct http_field *http_next(const struct http_head *head,
    enum http_field_id id, const struct http_field *after);
/* The value of the first, or p == NULL. */
struct bytes http_value(const struct http_head *head, enum http_field_id id);
unsigned http_count(const struct http_head *head, enum http_field_id id);
/* By name, case-insensitive, whether larder knows it or not. */
const struct http_field *http_next_named(const struct http_head *head,
    struct bytes name, const struct http_field *after);

enum http_field_id http_field_id(struct bytes name);
/* The one that it is to CGI (RFC 3875 4.1.18) and its heirs, to which an
 * underscore is a hyphen. */
enum http_field_id http_field_alias(struct bytes name);
/* The usual spelling of a known one. */
struct bytes http_field_name(enum http_field_id id);
/* "OK" for 200; "" for one without a registered phrase. */
const char *http_reason(int status);

/* RFC 9110 9.2.1, of methods larder knows; false for all others. */
bool http_method_safe(enum http_method method);
/* RFC 9110 9.2.2 */
bool http_method_idempotent(enum http_method method);

bool http_is_token(struct bytes b);
/* 1*DIGIT, however large. */
bool http_is_number(struct bytes b);

/* Of a head that was refused there are none, and no array of them. */
#define http_each_field(pos, head)                          \
	for (const struct http_field *pos = (head)->fields; \
	     pos != NULL && pos < (head)->fields + (head)->count; pos++)

#endif
