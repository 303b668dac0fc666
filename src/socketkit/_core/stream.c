/* The state of a connected socket. `stream.py` is the same in Python. */

#include "core.h"

#include <string.h>

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

static PyMemberDef stream_members[] = {
    {"_descriptor", T_INT, offsetof(Stream, descriptor), 0, NULL},
    {"_ended", T_BOOL, offsetof(Stream, ended), 0, NULL},
    {"_is_sending", T_BOOL, offsetof(Stream, is_sending), 0, NULL},
    {"_is_blocking", T_BOOL, offsetof(Stream, blocks), 0, NULL},
    {"_is_plain", T_BOOL, offsetof(Stream, is_plain), 0, NULL},
    {"_largest", T_INT, offsetof(Stream, largest), 0, NULL},
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
