/*
 * Addresses and blocks as text: what is taken is written back in a form that
 * is taken again and means the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
blocks(const char *text)
{
	struct cidr block;
	const char *why = NULL;
	union addr a;

	if (cidr_parse(text, &block, &why) != 0) {
		check(why != NULL);
		return;
	}
	check(block.bits <= 128);
	memset(&a, 0, sizeof(a));
	a.v6.sin6_family = AF_INET6;
	memcpy(&a.v6.sin6_addr, block.ip, 16);
	/* Only a block of v6 that is wider than v4's does without v4. */
	check(cidr_contains(&block, &a) || block.bits < 96);
	addr_is_special(&a);
}

static void
listening(const char *text)
{
	char out[ADDR_TEXT], again[ADDR_TEXT];
	const char *why = NULL;
	union addr a, b;

	if (addr_parse_listen(text, &a, &why) != 0) {
		check(why != NULL);
		return;
	}
	check(addr_parse_listen(addr_format(&a, out), &b, &why) == 0);
	check(addr_equal(&a, &b, true));
	check(strcmp(out, addr_format(&b, again)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	union addr a;

	check(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	listening(text);
	blocks(text);
	if (addr_parse_ip(bytes_of(data, size), 80, &a) == 0)
		check(addr_port(&a) == 80);
	free(text);
	return 0;
}
