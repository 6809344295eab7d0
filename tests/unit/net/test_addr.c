#include "net_test.h"

#include "larder/check.h"
#include "net/addr.h"

static union addr
ip(const char *text)
{
	union addr a;

	if (addr_parse_ip(bytes_str(text), 80, &a) != 0)
		fail_msg("%s is no address", text);
	return a;
}

/* As the kernel reports a v4 client of a v6 socket. */
static union addr
mapped(const char *v4)
{
	union addr from = ip(v4), a = {0};

	a.v6.sin6_family = AF_INET6;
	a.v6.sin6_port = htons(80);
	a.v6.sin6_addr.s6_addr[10] = a.v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&a.v6.sin6_addr.s6_addr[12], &from.v4.sin_addr, 4);
	return a;
}

static void
listening_addresses(void **state)
{
	/* What is written, and what comes back; NULL: refused. */
	static const char *const t[][2] = {
	    {"127.0.0.1:3128", "127.0.0.1:3128"},
	    {"0.0.0.0:1", "0.0.0.0:1"},
	    {"9.10.99.100:1", "9.10.99.100:1"},
	    {"101.200.249.255:1", "101.200.249.255:1"},
	    {"[::]:65535", "[::]:65535"},
	    {"[2001:DB8::0:1]:80", "[2001:db8::1]:80"},
	    {"[::ffff:1.2.3.4]:80", "1.2.3.4:80"},
	    {":3128", ":3128"},
	    {"unix:/run/x y", "unix:/run/x y"},
	    {"", NULL},
	    {"127.0.0.1", NULL},
	    {"3128", NULL},
	    {"127.0.0.1:", NULL},
	    {"127.0.0.1:0", NULL},
	    {"127.0.0.1:65536", NULL},
	    {"127.0.0.1:+1", NULL},
	    {"127.0.0.1:80 ", NULL},
	    {" 127.0.0.1:80", NULL},
	    {"127.1:80", NULL},
	    {"127.0.0.01:80", NULL},
	    {"0x7f.0.0.1:80", NULL},
	    {"localhost:80", NULL},
	    {"*:80", NULL},
	    {"::1:80", NULL},
	    {"[::1]", NULL},
	    {"[::1:80", NULL},
	    {"[]:80", NULL},
	    {"[:80", NULL},
	    {"]:80", NULL},
	    {"[127.0.0.1]:80", NULL},
	    {"[::1%lo]:80", NULL},
	    {"unix:", NULL},
	    {"unix:relative", NULL},
	};
	char text[ADDR_TEXT], path[200] = "unix:/";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *why = NULL;
		union addr a;
		int err = addr_parse_listen(t[i][0], &a, &why);

		if (err != (t[i][1] ? 0 : LARDER_INVALID))
			fail_msg("\"%s\" gave %d", t[i][0], err);
		if (err)
			assert_non_null(why);
		else
			assert_string_equal(addr_format(&a, text), t[i][1]);
	}
	memset(path + 6, 'x', 106);
	assert_int_equal(
	    addr_parse_listen(path, &(union addr){0}, &(const char *){NULL}),
	    0);
	path[112] = 'x';
	assert_int_equal(
	    addr_parse_listen(path, &(union addr){0}, &(const char *){NULL}),
	    LARDER_INVALID);
}

static void
equality(void **state)
{
	union addr a = ip("1.2.3.4"), b = mapped("1.2.3.4"), c = ip("1.2.3.4");

	(void)state;
	c.v4.sin_port = htons(81);
	assert_true(addr_equal(&a, &b, true));
	assert_false(addr_equal(&a, &c, true));
	assert_true(addr_equal(&b, &c, false));
	a = ip("::1");
	assert_false(addr_equal(&a, &b, false));
}

static void
blocks(void **state)
{
	static const struct {
		const char *block, *in, *out;
	} t[] = {
	    {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
	    {"172.16.0.0/12", "172.31.0.1", "172.32.0.0"},
	    {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
	    {"192.0.2.1/32", "192.0.2.1", "192.0.2.0"},
	    {"0.0.0.0/0", "255.1.2.3", "::1"},
	    {"::/0", "2001:db8::1", "1.2.3.4"},
	    {"::1/128", "::1", "::2"},
	    {"fc00::/7", "fdff::1", "fe00::1"},
	    {"fe80::/10", "febf::1", "fec0::1"},
	    {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
	    {"::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"},
	    {"::ffff:0:0/96", "10.1.2.3", "::1"},
	};
	static const char *const bad[] = {"", "/8", "10/8", "10.0.0.0/",
	    "10.0.0.0/33", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0/-1",
	    "10.0.0.0/0x8", "10.0.0.1/8", "10.0.0.0/255.0.0.0", "::1/129",
	    "fc00::1/7", "fc01::/7", "1.2.3.4/31 ", "example.org",
	    "1.2.3.5/31"};
	const char *why;
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		union addr in = ip(t[i].in), out = ip(t[i].out);

		if (cidr_parse(t[i].block, &c, &why) != 0)
			fail_msg("%s: %s", t[i].block, why);
		if (!cidr_contains(&c, &in) || cidr_contains(&c, &out))
			fail_msg("%s", t[i].block);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (cidr_parse(bad[i], &c, &why) != LARDER_INVALID)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(cidr_parse("10.0.0.0/8", &c, &why), 0);
	{
		union addr a = mapped("10.1.2.3"), un = {0};

		assert_true(cidr_contains(&c, &a));
		un.un.sun_family = AF_UNIX;
		assert_false(cidr_contains(&c, &un));
	}
}

static void
special_addresses(void **state)
{
	static const char *const special[] = {"0.0.0.0", "0.1.2.3", "10.0.0.1",
	    "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.0.1",
	    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
	    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
	    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
	    "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1",
	    "::1.2.3.4", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254",
	    "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1",
	    "2001:2::1", "2001:10::1", "2001:db8::1",
	    "2002:a00:1::", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "3fff::1",
	    "5f00::1", "fc00::1", "fd00::1", "fe80::1", "fec0::1", "ff02::1",
	    "4000::1"};
	static const char *const common[] = {"1.1.1.1", "9.255.255.255",
	    "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
	    "128.0.0.1", "169.253.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
	    "192.167.1.1", "192.169.0.1", "198.17.255.255", "198.20.0.0",
	    "223.255.255.255", "64:ff9b::1.1.1.1", "2001:200::1",
	    "2001:4860:4860::8888", "2002:101:101::1", "2600::1",
	    "2a00:1450::1", "3ffe::1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		union addr a = ip(special[i]);

		if (!addr_is_special(&a))
			fail_msg("%s is special", special[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
		union addr a = ip(common[i]);

		if (addr_is_special(&a))
			fail_msg("%s is not special", common[i]);
	}
	{
		union addr a = mapped("169.254.169.254"), b = mapped("1.1.1.1");

		assert_true(addr_is_special(&a));
		assert_false(addr_is_special(&b));
	}
}

static void
own_addresses(void **state)
{
	static const char *const own[] = {"127.0.0.1", "127.9.9.9", "0.0.0.0",
	    "::1", "::",
	    /* through NAT64 and 6to4 */
	    "64:ff9b::127.0.0.1", "2002:7f00:1::1"};
	static const char *const others[] = {"192.0.2.1", "8.8.8.8",
	    "2001:db8::1", "128.0.0.1", "::2", "64:ff9b::8.8.8.8",
	    "2002:808:808::1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		union addr a = ip(own[i]);

		assert_true(addr_is_own(&a));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		union addr a = ip(others[i]);

		assert_false(addr_is_own(&a));
	}
	{
		union addr a = mapped("127.0.0.1");

		assert_true(addr_is_own(&a));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(listening_addresses),
	    cmocka_unit_test(equality),
	    cmocka_unit_test(blocks),
	    cmocka_unit_test(special_addresses),
	    cmocka_unit_test(own_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
