/* The state of a connected socket. `stream.py` is the same in Python. */

#include "core.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: Python ignores SIGPIPE */
#endif

/* Tell the Python stream of an error that recv(2) has reported: the system reports it once. */
int report_loss(CoreState *core, Stream *stream, int number)
{
    PyObject *error = PyObject_CallFunction(PyExc_OSError, "is", number, strerror(number));
    PyObject *result =
        error == NULL ? NULL : PyObject_CallMethodOneArg((PyObject *)stream, core->names[NAME_lose], error);
    Py_XDECREF(error);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* A buffer of SPARE_SIZE bytes, to be given back; NULL with an exception: there is no memory. */
char *take_spare(CoreState *core)
{
    char *data = core->spare != NULL ? core->spare : PyMem_RawMalloc(SPARE_SIZE);
    core->spare = NULL;
    if (data == NULL)
        PyErr_NoMemory();
    return data;
}

void give_back_spare(CoreState *core, char *data)
{
    if (core->spare == NULL)
        core->spare = data;
    else
        PyMem_RawFree(data);
}

/* What `_forward` returns after send(2) has not taken all; `errno` is its own where `sent` is negative. */
static PyObject *not_all_sent(Stream *sink, const char *data, Py_ssize_t size, Py_ssize_t sent)
{
    PyObject *error = Py_NewRef(Py_None);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        PyObject *reason = PyObject_CallFunction(PyExc_OSError, "is", errno, strerror(errno));
        Py_SETREF(error, reason == NULL ? NULL : PyObject_CallMethod((PyObject *)sink, "lost_sending", "O", reason));
        Py_XDECREF(reason);
        if (error == NULL)
            return NULL;
    }
    sent = Py_MAX(sent, 0);
    return Py_BuildValue("ny#N", size, data + sent, size - sent, error);
}

PyDoc_STRVAR(forward_doc, "_forward($self, sink, /)\n--\n\n"
                          "Receive what is there and send it to another stream, without a wait: the number of bytes.\n\n"
                          "None: nothing was received, and `receive` says why. Where not all was sent, a tuple of the\n"
                          "number, the bytes that are left, and the error of the sink, or None.");

static PyObject *stream_forward(Stream *self, PyObject *argument)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(self), &core_module);
    if (module == NULL)
        return NULL;
    CoreState *core = PyModule_GetState(module);
    if (!PyObject_TypeCheck(argument, core->stream_type))
        return PyErr_Format(PyExc_TypeError, "the sink is a stream of a socket, not %R", argument);
    Stream *sink = (Stream *)argument;
    if (!is_open_here(core, self) || self->ended || self->blocks || !is_open_here(core, sink) || sink->blocks)
        return Py_NewRef(Py_None);
    char *data = take_spare(core);
    if (data == NULL)
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t size = recv(self->descriptor, data, Py_MIN(RECEIVE_SIZE, self->largest), MSG_DONTWAIT);
    if (size <= 0) {
        bool is_lost = size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
        if (!is_lost || report_loss(core, self, errno) == 0)
            result = Py_NewRef(Py_None);
    } else {
        self->may_have_more = false; /* the caller waits, and other tasks run */
        sink->is_sending = true; /* until the error is recorded: another thread may receive the end behind it */
        Py_ssize_t sent = send(sink->descriptor, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        result = sent == size ? PyLong_FromSsize_t(size) : not_all_sent(sink, data, size, sent);
        sink->is_sending = false;
    }
    give_back_spare(core, data);
    return result;
}

static PyMethodDef stream_methods[] = {
    {"_forward", (PyCFunction)stream_forward, METH_O, forward_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef stream_members[] = {
    {"_born", T_INT, offsetof(Stream, born), 0, NULL},
    {"_descriptor", T_INT, offsetof(Stream, descriptor), 0, NULL},
    {"_ended", T_BOOL, offsetof(Stream, ended), 0, NULL},
    {"_eof_sent", T_BOOL, offsetof(Stream, eof_sent), 0, NULL},
    {"_is_sending", T_BOOL, offsetof(Stream, is_sending), 0, NULL},
    {"_is_blocking", T_BOOL, offsetof(Stream, blocks), 0, NULL},
    {"_is_plain", T_BOOL, offsetof(Stream, is_plain), 0, NULL},
    {"_largest", T_INT, offsetof(Stream, largest), 0, NULL},
    {"_size", T_INT, offsetof(Stream, size), 0, NULL},
    {"_stopped", T_BOOL, offsetof(Stream, stopped), 0, NULL},
    {"_streak", T_INT, offsetof(Stream, streak), 0, NULL},
    {"may_have_more", T_BOOL, offsetof(Stream, may_have_more), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyObject *stream_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)args, (void)kwargs; /* the class's own `__init__` takes them */
    Stream *self = (Stream *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->descriptor = -1;
    return (PyObject *)self;
}

static int stream_traverse(Stream *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void stream_dealloc(Stream *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot stream_slots[] = {
    {Py_tp_new, stream_new},
    {Py_tp_methods, stream_methods},
    {Py_tp_members, stream_members},
    {Py_tp_traverse, stream_traverse},
    {Py_tp_dealloc, stream_dealloc},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "socketkit._core._native.StreamCore",
    .basicsize = sizeof(Stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = stream_slots,
};

int add_stream(PyObject *module, CoreState *core)
{
    return add_type(module, &stream_spec, &core->stream_type);
}
