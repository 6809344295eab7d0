/*
 * Values that are lists (RFC 9110 5.6.1), parameters and quoted strings. Pure.
 */
#ifndef HTTP_LIST_H
#define HTTP_LIST_H

#include "http/head.h"

/* Walks the elements of one field over all its lines; commas in quoted strings
 * do not split; empty elements are passed over. */
struct http_list {
	const struct http_head *head;
	enum http_field_id id;
	const struct http_field *line; /* NULL: before the first */
	struct bytes rest;
};

void http_list_init(struct http_list *list, const struct http_head *head,
    enum http_field_id id);
/* The next element, trimmed; false at the end. */
bool http_list_next(struct http_list *list, struct bytes *element);
/* Likewise of one value: *rest is what remains. */
bool http_list_split(struct bytes *rest, struct bytes *element);

/* Splits "name[=value]" (no white space around "="); of a quoted value *value
 * is the inside, backslashes left in, and *quoted is true. False if malformed.
 * Without "=": value->p == NULL. */
bool http_param(struct bytes element, struct bytes *name, struct bytes *value,
    bool *quoted);

/* Does the list hold this token, case-insensitive? */
bool http_list_has(
    const struct http_head *head, enum http_field_id id, struct bytes token);

/* Does Connection hold this option? Its elements are tokens (RFC 9110 7.6.1):
 * a quote in it joins nothing. */
bool http_connection_has(const struct http_head *head, struct bytes option);

/* Splits "coding[;q=0.5]" (RFC 9110 12.4.2; a language range likewise); *weight
 * in thousandths, 1000 if there is none. False if malformed. */
bool http_weighted(struct bytes element, struct bytes *name, int *weight);

/* The weight ("q", RFC 9110 12.4.2) in thousandths that Accept-Encoding gives a
 * coding (or "identity"): -1 if it is not named and "*" neither. */
int http_coding_weight(const struct http_head *head, struct bytes coding);

#endif
