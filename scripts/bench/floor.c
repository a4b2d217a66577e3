/* The least that a lab of routers can cost: one thread, packed netlink, no look-ups, no processes.
 *
 *     floor up DIRECTORY < NETWORK     every namespace is bound in a tmpfs at DIRECTORY
 *     floor down DIRECTORY             one lazy umount
 *
 * NETWORK is lines of numbers and IPv4 addresses:
 *     nodes COUNT
 *     link NODE ADDRESS NODE ADDRESS           both addresses are of one /30
 *     route NODE NETWORK LENGTH GATEWAY
 * Node i has the loopback address 10.255.0.0 + i, as in labctl/shapes.py.
 *
 * It writes the same objects as labctl does for such a network: namespaces; links with both ends in place, one queue
 * each; per node loopback, forwarding, addresses, permanent neighbours and routes. It does not check, journal, name or
 * undo anything, switches no offload off, and leaves IPv6 and every other setting as a new namespace has it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_INDEX 16
#define BATCH 60000
#define DEVCONF_FORWARDING 1 /* IPV4_DEVCONF_FORWARDING, linux/ip.h */

struct node {
    int fd, sock, devices;
    char *bytes;
    size_t used, room;
};
struct end {
    int node, index;
    uint32_t address;
    unsigned char mac[6];
};

static struct node *nodes;
static int count;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -- messages: each is put together at the end of a buffer that is large enough */

static struct nlmsghdr *begin(char *at, int type, int flags) {
    struct nlmsghdr *message = (struct nlmsghdr *)at;
    memset(message, 0, sizeof *message);
    message->nlmsg_len = NLMSG_HDRLEN;
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    return message;
}

static void *put(struct nlmsghdr *message, size_t size) {
    void *at = (char *)message + message->nlmsg_len;
    memset(at, 0, NLMSG_ALIGN(size));
    message->nlmsg_len += NLMSG_ALIGN(size);
    return at;
}

static struct rtattr *attribute(struct nlmsghdr *message, int type, const void *data, size_t size) {
    struct rtattr *found = put(message, RTA_SPACE(size));
    found->rta_type = type;
    found->rta_len = RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(found), data, size);
    return found;
}

static void end_nest(struct nlmsghdr *message, struct rtattr *nest) {
    nest->rta_len = (char *)message + message->nlmsg_len - (char *)nest;
}

/* -- sockets */

static int netlink(void) {
    int one = 1, sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (sock < 0)
        die("netlink");
    setsockopt(sock, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    return sock;
}

/* Send a batch whose last message asks for an answer, and wait for that; a refusal is told without asking. */
static void deliver(int sock, char *bytes, size_t size, struct nlmsghdr *last) {
    static char answer[1 << 16];
    last->nlmsg_flags |= NLM_F_ACK;
    last->nlmsg_seq = 1;
    if (send(sock, bytes, size, 0) != (ssize_t)size)
        die("send");
    for (;;) {
        int got = recv(sock, answer, sizeof answer, 0);
        if (got < 0)
            die("recv");
        for (struct nlmsghdr *each = (void *)answer; NLMSG_OK(each, (unsigned)got); each = NLMSG_NEXT(each, got)) {
            struct nlmsgerr *outcome = NLMSG_DATA(each);
            if (each->nlmsg_type != NLMSG_ERROR)
                continue;
            if (outcome->error) {
                errno = -outcome->error;
                die("refused");
            }
            if (each->nlmsg_seq == 1)
                return;
        }
    }
}

/* -- what a node is given, gathered in its own buffer */

static struct nlmsghdr *gather(int node, int type, int flags) {
    struct node *to = &nodes[node];
    if (to->room - to->used < 512) {
        to->room = to->room ? 2 * to->room : 2048;
        to->bytes = realloc(to->bytes, to->room);
    }
    return begin(to->bytes + to->used, type, flags);
}

static void gathered(int node, struct nlmsghdr *message) {
    nodes[node].used += message->nlmsg_len;
}

static void raise_device(int node, int index) {
    struct nlmsghdr *message = gather(node, RTM_NEWLINK, 0);
    struct ifinfomsg *info = put(message, sizeof *info);
    info->ifi_index = index;
    info->ifi_flags = info->ifi_change = IFF_UP;
    gathered(node, message);
}

static void forward(int node, int index) {
    uint32_t on = 1;
    struct nlmsghdr *message = gather(node, RTM_SETLINK, 0);
    struct ifinfomsg *info = put(message, sizeof *info);
    info->ifi_index = index;
    struct rtattr *families = attribute(message, IFLA_AF_SPEC, 0, 0);
    struct rtattr *inet = attribute(message, AF_INET, 0, 0);
    struct rtattr *settings = attribute(message, IFLA_INET_CONF, 0, 0);
    attribute(message, DEVCONF_FORWARDING, &on, sizeof on);
    end_nest(message, settings);
    end_nest(message, inet);
    end_nest(message, families);
    gathered(node, message);
}

static void give_address(int node, int index, uint32_t address, int length) {
    struct nlmsghdr *message = gather(node, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    struct ifaddrmsg *info = put(message, sizeof *info);
    info->ifa_family = AF_INET;
    info->ifa_prefixlen = length;
    info->ifa_index = index;
    attribute(message, IFA_LOCAL, &address, sizeof address);
    attribute(message, IFA_ADDRESS, &address, sizeof address);
    gathered(node, message);
}

static void give_neighbour(const struct end *here, const struct end *there) {
    struct nlmsghdr *message = gather(here->node, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
    struct ndmsg *info = put(message, sizeof *info);
    info->ndm_family = AF_INET;
    info->ndm_ifindex = here->index;
    info->ndm_state = NUD_PERMANENT;
    attribute(message, NDA_DST, &there->address, sizeof there->address);
    attribute(message, NDA_LLADDR, there->mac, sizeof there->mac);
    gathered(here->node, message);
}

static void give_route(int node, uint32_t network, int length, uint32_t gateway) {
    struct nlmsghdr *message = gather(node, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
    struct rtmsg *info = put(message, sizeof *info);
    info->rtm_family = AF_INET;
    info->rtm_dst_len = length;
    info->rtm_table = RT_TABLE_MAIN;
    info->rtm_protocol = RTPROT_STATIC;
    info->rtm_type = RTN_UNICAST;
    if (length)
        attribute(message, RTA_DST, &network, sizeof network);
    attribute(message, RTA_GATEWAY, &gateway, sizeof gateway);
    gathered(node, message);
}

/* -- the lab */

static void make_namespace(const char *directory, int number) {
    char place[4096];
    snprintf(place, sizeof place, "%s/n%d", directory, number);
    int file = open(place, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444);
    if (file < 0 || close(file))
        die(place);
    if (unshare(CLONE_NEWNET) || mount("/proc/thread-self/ns/net", place, "", MS_BIND, 0))
        die("namespace");
    nodes[number].fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    nodes[number].sock = netlink();
    nodes[number].devices = FIRST_INDEX;
    raise_device(number, 1);
    give_address(number, 1, htonl(0x0aff0000u + number), 32);
}

static void make_namespaces(const char *directory) {
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
    mkdir(directory, 0755);
    if (mount("floor", directory, "tmpfs", 0, "mode=0755") || mount("", directory, "", MS_PRIVATE, 0))
        die(directory);
    nodes = calloc(count, sizeof *nodes);
    for (int i = 0; i < count; i++)
        make_namespace(directory, i);
}

static struct end new_end(int node, const char *address) {
    static unsigned made;
    struct end found = {.node = node, .index = nodes[node].devices++, .address = inet_addr(address)};
    unsigned number = ++made;
    found.mac[0] = 2;
    for (int i = 5; i > 1; i--, number >>= 8)
        found.mac[i] = number;
    return found;
}

static void describe_end(struct nlmsghdr *message, const struct end *each, int up) {
    uint32_t one = 1;
    char name[IFNAMSIZ];
    struct ifinfomsg *info = put(message, sizeof *info);
    info->ifi_index = each->index;
    if (up)
        info->ifi_flags = info->ifi_change = IFF_UP;
    attribute(message, IFLA_IFNAME, name, snprintf(name, sizeof name, "eth%d", each->index - FIRST_INDEX) + 1);
    attribute(message, IFLA_NET_NS_FD, &nodes[each->node].fd, sizeof(int));
    attribute(message, IFLA_ADDRESS, each->mac, sizeof each->mac);
    attribute(message, IFLA_NUM_TX_QUEUES, &one, sizeof one);
    attribute(message, IFLA_NUM_RX_QUEUES, &one, sizeof one);
}

static struct nlmsghdr *make_link(char *at, const struct end *a, const struct end *b) {
    struct nlmsghdr *message = begin(at, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    describe_end(message, a, 1);
    struct rtattr *info = attribute(message, IFLA_LINKINFO, 0, 0);
    attribute(message, IFLA_INFO_KIND, "veth", 5);
    struct rtattr *data = attribute(message, IFLA_INFO_DATA, 0, 0);
    struct rtattr *peer = attribute(message, VETH_INFO_PEER, 0, 0);
    describe_end(message, b, 0);
    end_nest(message, peer);
    end_nest(message, data);
    end_nest(message, info);
    return message;
}

static void configure_link(const struct end *a, const struct end *b) {
    forward(a->node, a->index);
    forward(b->node, b->index);
    raise_device(b->node, b->index);
    give_address(a->node, a->index, a->address, 30);
    give_address(b->node, b->index, b->address, 30);
    give_neighbour(a, b);
    give_neighbour(b, a);
}

static void up(const char *directory) {
    static char batch[BATCH + 1024];
    char line[256], one[64], other[64];
    int a, b, length;
    size_t used = 0;
    struct nlmsghdr *last = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "nodes %d", &count) == 1) {
            make_namespaces(directory);
        } else if (sscanf(line, "link %d %63s %d %63s", &a, one, &b, other) == 4) {
            struct end here = new_end(a, one), there = new_end(b, other);
            if (used > BATCH) {
                deliver(nodes[0].sock, batch, used, last);
                used = 0;
            }
            last = make_link(batch + used, &here, &there);
            used += last->nlmsg_len;
            configure_link(&here, &there);
        } else if (sscanf(line, "route %d %63s %d %63s", &a, one, &length, other) == 4) {
            give_route(a, inet_addr(one), length, inet_addr(other));
        }
    }
    if (used)
        deliver(nodes[0].sock, batch, used, last);
    for (int i = 0; i < count; i++) {
        struct nlmsghdr *each = (void *)nodes[i].bytes;
        for (size_t at = each->nlmsg_len; at < nodes[i].used; at += each->nlmsg_len)
            each = (void *)(nodes[i].bytes + at);
        deliver(nodes[i].sock, nodes[i].bytes, nodes[i].used, each);
    }
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    if (!strcmp(argv[1], "up"))
        up(argv[2]);
    else if (umount2(argv[2], MNT_DETACH) || rmdir(argv[2]))
        die(argv[2]);
    fflush(stdout);
    _exit(0);
}
