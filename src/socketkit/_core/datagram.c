/* Batches of datagrams by recvmmsg(2) and sendmmsg(2), where the system has them. `datagram.py` is the same in Python. */

#include "core.h"

#if defined(__linux__) || defined(__FreeBSD__)

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { BATCH = 64 };                   /* datagrams of one system call, at most */
enum { ARENA_SIZE = 4 * 1024 * 1024 }; /* bytes of address space; only what is received becomes memory */
enum { PAGE = 4096 };

typedef union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
} Name;

/* The descriptor of a socket; -1 with an error set where it is closed. */
static int descriptor_of(PyObject *sock)
{
    PyObject *number = PyObject_CallMethod(sock, "fileno", NULL);
    if (number == NULL)
        return -1;
    int descriptor = (int)PyLong_AsLong(number);
    Py_DECREF(number);
    if (descriptor < 0 && !PyErr_Occurred()) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return descriptor;
}

/* The name as Python's socket module has it. */
static PyObject *read_name(const Name *name, socklen_t size)
{
    char host[INET6_ADDRSTRLEN];
    if (size == 0)
        Py_RETURN_NONE;
    switch (name->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &name->in.sin_addr, host, sizeof host);
        return Py_BuildValue("si", host, ntohs(name->in.sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &name->in6.sin6_addr, host, sizeof host);
        return Py_BuildValue("siII", host, ntohs(name->in6.sin6_port), ntohl(name->in6.sin6_flowinfo),
                             name->in6.sin6_scope_id);
    case AF_UNIX: {
        const char *path = name->un.sun_path;
        size_t length = size - offsetof(struct sockaddr_un, sun_path);
        if (length > 0 && path[0] == 0)
            return PyBytes_FromStringAndSize(path, length); /* abstract: unix(7) */
        return PyUnicode_DecodeFSDefaultAndSize(path, strnlen(path, length));
    }
    default:
        return Py_BuildValue("iy#", name->any.sa_family, (const char *)name, (Py_ssize_t)size);
    }
}

/* An ICMP error for a datagram that we sent: not an error of the socket. As Python's ConnectionError, TimeoutError. */
static bool is_of_a_peer(int number)
{
    return number == ECONNREFUSED || number == ECONNRESET || number == ECONNABORTED || number == EPIPE ||
           number == ESHUTDOWN || number == ETIMEDOUT;
}

/* Append what one call has received; the last name is used again, since senders come in runs. */
static int append_batch(PyObject *batch, struct mmsghdr *headers, int count, PyObject **last, Name *last_name,
                        socklen_t *last_size)
{
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &headers[i].msg_hdr;
        if (*last == NULL || header->msg_namelen != *last_size ||
            memcmp(header->msg_name, last_name, *last_size) != 0) {
            PyObject *name = read_name(header->msg_name, header->msg_namelen);
            if (name == NULL)
                return -1;
            Py_XSETREF(*last, name);
            memcpy(last_name, header->msg_name, header->msg_namelen);
            *last_size = header->msg_namelen;
        }
        Py_ssize_t size = headers[i].msg_len;
        PyObject *data = PyBytes_FromStringAndSize(header->msg_iov->iov_base,
                                                   Py_MIN(size, (Py_ssize_t)header->msg_iov->iov_len));
        PyObject *number = data == NULL ? NULL : PyLong_FromSsize_t(size);
        PyObject *datagram = number == NULL ? NULL : PyTuple_Pack(3, data, number, *last);
        Py_XDECREF(data);
        Py_XDECREF(number);
        if (datagram == NULL)
            return -1;
        int failed = PyList_Append(batch, datagram);
        Py_DECREF(datagram);
        if (failed < 0)
            return -1;
    }
    return 0;
}

PyObject *core_receive_batch(PyObject *module, PyObject *args)
{
    CoreState *core = PyModule_GetState(module);
    PyObject *sock;
    Py_ssize_t size, limit;
    int flags;
    if (!PyArg_ParseTuple(args, "Onni", &sock, &size, &limit, &flags))
        return NULL;
    int descriptor = descriptor_of(sock);
    if (descriptor < 0)
        return NULL;
    size = Py_MAX(size, 1);
    /* Slots begin at pages, so that small datagrams touch a page each, whatever the largest may be. */
    Py_ssize_t slot = (size + PAGE - 1) / PAGE * PAGE;
    int slots = (int)Py_MAX(1, Py_MIN(BATCH, ARENA_SIZE / slot));
    char *own = NULL, *arena = core->arena;
    if (slot > ARENA_SIZE)
        arena = own = PyMem_RawMalloc(slot);
    else if (arena == NULL)
        arena = core->arena = PyMem_RawMalloc(ARENA_SIZE);
    PyObject *batch = arena == NULL ? PyErr_NoMemory() : PyList_New(0);
    PyObject *last = NULL;
    Name names[BATCH], last_name;
    socklen_t last_size = 0;
    struct iovec vectors[BATCH];
    struct mmsghdr headers[BATCH];
    Py_ssize_t attempts = 0;
    while (batch != NULL && attempts < limit) {
        int wanted = (int)Py_MIN(slots, limit - attempts);
        memset(headers, 0, wanted * sizeof *headers);
        for (int i = 0; i < wanted; i++) {
            vectors[i] = (struct iovec){arena + i * slot, size};
            headers[i].msg_hdr = (struct msghdr){
                .msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        int count = (int)recvmmsg(descriptor, headers, wanted, flags | MSG_DONTWAIT, NULL);
        if (count < 0) {
            if (errno == EINTR && PyErr_CheckSignals() == 0)
                continue;
            attempts++;
            if (is_of_a_peer(errno))
                continue;
            if (PyErr_Occurred() || (PyList_GET_SIZE(batch) == 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
                if (!PyErr_Occurred())
                    PyErr_SetFromErrno(PyExc_OSError);
                Py_CLEAR(batch);
            }
            break;
        }
        attempts += count;
        if (append_batch(batch, headers, count, &last, &last_name, &last_size) < 0) {
            Py_CLEAR(batch);
            break;
        }
        if (count < wanted)
            break; /* nothing more is queued, or an error is, which the next call will find */
    }
    Py_XDECREF(last);
    PyMem_RawFree(own);
    return batch;
}

/* Write a name for the system; false: it is none of the usual ones, and Python is to read it. */
static bool write_name(PyObject *from, Name *name, socklen_t *size)
{
    memset(name, 0, sizeof *name);
    if (PyTuple_CheckExact(from) && (PyTuple_GET_SIZE(from) == 2 || PyTuple_GET_SIZE(from) == 4)) {
        bool is_in6 = PyTuple_GET_SIZE(from) == 4;
        PyObject *host = PyTuple_GET_ITEM(from, 0);
        const char *text = PyUnicode_Check(host) ? PyUnicode_AsUTF8(host) : NULL;
        long numbers[4] = {0};
        for (int i = 1; text != NULL && i < PyTuple_GET_SIZE(from); i++) {
            numbers[i] = PyLong_Check(PyTuple_GET_ITEM(from, i)) ? PyLong_AsLong(PyTuple_GET_ITEM(from, i)) : -1;
            if (numbers[i] < 0 || numbers[i] > (i == 1 ? 0xFFFF : 0xFFFFFFFFL))
                text = NULL;
        }
        PyErr_Clear();
        if (text == NULL)
            return false;
        if (is_in6) {
            name->in6.sin6_family = AF_INET6;
            name->in6.sin6_port = htons((uint16_t)numbers[1]);
            name->in6.sin6_flowinfo = htonl((uint32_t)numbers[2]);
            name->in6.sin6_scope_id = (uint32_t)numbers[3];
            *size = sizeof name->in6;
            return inet_pton(AF_INET6, text, &name->in6.sin6_addr) == 1;
        }
        name->in.sin_family = AF_INET;
        name->in.sin_port = htons((uint16_t)numbers[1]);
        *size = sizeof name->in;
        return inet_pton(AF_INET, text, &name->in.sin_addr) == 1;
    }
    return false; /* of UNIX sockets: their receivers' queues are short, a batch gains little */
}

/* Send the first datagram by the socket's own method. */
static PyObject *send_first(PyObject *sock, PyObject *data, PyObject *name)
{
    PyObject *sent = PyObject_CallMethod(sock, "sendto", "OO", data, name);
    if (sent == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_BlockingIOError))
            return NULL;
        PyErr_Clear();
        return PyLong_FromLong(0);
    }
    Py_DECREF(sent);
    return PyLong_FromLong(1);
}

PyObject *core_send_batch(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *sock, *given;
    if (!PyArg_ParseTuple(args, "OO", &sock, &given))
        return NULL;
    int descriptor = descriptor_of(sock);
    if (descriptor < 0)
        return NULL;
    PyObject *batch = PySequence_Fast(given, "a sequence of pairs is required");
    if (batch == NULL)
        return NULL;
    Name names[BATCH];
    struct iovec vectors[BATCH];
    struct mmsghdr headers[BATCH];
    PyObject *data = NULL, *name = NULL, *last = NULL, *result = NULL;
    int count = 0, at = 0; /* `at`: the name that was written last */
    for (; count < BATCH && count < PySequence_Fast_GET_SIZE(batch); count++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(batch, count);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(pair, 0))) {
            PyErr_SetString(PyExc_TypeError, "a datagram is a pair of bytes and a name");
            goto done;
        }
        data = PyTuple_GET_ITEM(pair, 0);
        name = PyTuple_GET_ITEM(pair, 1);
        socklen_t size;
        if (name == last) {
            size = headers[at].msg_hdr.msg_namelen;
        } else {
            if (!write_name(name, &names[count], &size))
                break;
            at = count;
            last = name;
        }
        vectors[count] = (struct iovec){PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)};
        headers[count] = (struct mmsghdr){.msg_hdr = {
            .msg_name = &names[at], .msg_namelen = size, .msg_iov = &vectors[count], .msg_iovlen = 1}};
    }
    if (count == 0) {
        result = PySequence_Fast_GET_SIZE(batch) == 0 ? PyLong_FromLong(0) : send_first(sock, data, name);
        goto done;
    }
    for (;;) {
        int sent = (int)sendmmsg(descriptor, headers, count, MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            if (PyErr_CheckSignals() < 0)
                break;
            continue;
        }
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            PyErr_SetFromErrno(PyExc_OSError);
        else
            result = PyLong_FromLong(Py_MAX(sent, 0));
        break;
    }
done:
    Py_DECREF(batch);
    return result;
}

#endif
