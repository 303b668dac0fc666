/* The module: its state, its types, its constants. Multi-phase initialisation (PEP 489). */

#include "core.h"

/* Take the exception that is set, as one object with its traceback. */
PyObject *take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_XDECREF(type);
    return value;
#endif
}

/* Set an exception again; takes the reference. */
void restore_exception(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* Raise what was given to `throw`. */
PyObject *raise_thrown(PyObject *const *args, Py_ssize_t count)
{
    if (count < 1 || count > 3)
        PyErr_Format(PyExc_TypeError, "throw takes 1 to 3 arguments, not %zd", count);
    else if (PyExceptionInstance_Check(args[0]))
        PyErr_SetObject((PyObject *)Py_TYPE(args[0]), args[0]);
    else if (PyExceptionClass_Check(args[0]))
        PyErr_SetObject(args[0], count > 1 ? args[1] : NULL);
    else
        PyErr_SetString(PyExc_TypeError, "exceptions must derive from BaseException");
    return NULL;
}

PyObject *itself(PyObject *self)
{
    return Py_NewRef(self);
}

int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **place)
{
    *place = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *place == NULL ? -1 : PyModule_AddType(module, *place);
}

static int add_names(CoreState *core)
{
#define TEXT_OF(name) #name,
    static const char *const texts[] = {NAMES(TEXT_OF)};
#undef TEXT_OF
    for (int i = 0; i < NAME_COUNT; i++) {
        core->names[i] = PyUnicode_InternFromString(texts[i]);
        if (core->names[i] == NULL)
            return -1;
    }
    return 0;
}

static int core_exec(PyObject *module)
{
    CoreState *core = PyModule_GetState(module);
    core->parked = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    core->nothing = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    if (core->nothing == NULL || PyModule_AddObjectRef(module, "NOTHING", core->nothing) < 0)
        return -1;
    if (core->parked == NULL || PyModule_AddObjectRef(module, "PARKED", core->parked) < 0)
        return -1;
    if (add_names(core) < 0 || add_kernel(module, core) < 0 || add_stream(module, core) < 0)
        return -1;
    if (add_session(module, core) < 0 || add_side(module, core) < 0)
        return -1;
    return add_connection(module, core) < 0 ? -1 : add_websocket(module, core);
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    CoreState *core = PyModule_GetState(module);
    Py_VISIT(core->kernel_type);
    Py_VISIT(core->task_type);
    Py_VISIT(core->slot_type);
    Py_VISIT(core->stream_type);
    Py_VISIT(core->session_type);
    Py_VISIT(core->connection_type);
    Py_VISIT(core->next_type);
    Py_VISIT(core->batches_type);
    Py_VISIT(core->reading_type);
    Py_VISIT(core->nothing);
    Py_VISIT(core->done_type);
    Py_VISIT(core->loop_type);
    Py_VISIT(core->side_type);
    Py_VISIT(core->wait_type);
    Py_VISIT(core->reader_type);
    Py_VISIT(core->parked);
    Py_VISIT(core->done);
    return 0;
}

static int core_clear(PyObject *module)
{
    CoreState *core = PyModule_GetState(module);
    free_kept_next(core);
    Py_CLEAR(core->kernel_type);
    Py_CLEAR(core->task_type);
    Py_CLEAR(core->slot_type);
    Py_CLEAR(core->stream_type);
    Py_CLEAR(core->session_type);
    Py_CLEAR(core->connection_type);
    Py_CLEAR(core->next_type);
    Py_CLEAR(core->batches_type);
    Py_CLEAR(core->reading_type);
    Py_CLEAR(core->nothing);
    Py_CLEAR(core->done_type);
    Py_CLEAR(core->loop_type);
    Py_CLEAR(core->side_type);
    Py_CLEAR(core->wait_type);
    Py_CLEAR(core->reader_type);
    Py_CLEAR(core->parked);
    Py_CLEAR(core->done);
    for (int i = 0; i < NAME_COUNT; i++)
        Py_CLEAR(core->names[i]);
    Py_CLEAR(core->recent.texts[0]);
    Py_CLEAR(core->recent.texts[1]);
    while (core->kept_count > 0)
        free_outgoing(core->kept[--core->kept_count]);
    release_format(core->format);
    core->format = NULL;
    PyMem_RawFree(core->spare);
    PyMem_RawFree(core->arena);
    core->spare = core->arena = NULL;
    return 0;
}

static void core_free(void *module)
{
    core_clear(module);
}

static PyObject *core_count_fork(PyObject *module, PyObject *unused)
{
    (void)unused;
    CoreState *core = PyModule_GetState(module);
    core->forks++;
    return Py_NewRef(Py_None);
}

static PyMethodDef core_methods[] = {
    {"broadcast", core_broadcast, METH_VARARGS,
     "broadcast($module, targets, message, /)\n--\n\nAs in `connection.py`."},
    {"push", core_push, METH_VARARGS, "push($module, targets, data, /)\n--\n\nAs in `connection.py`."},
    {"count_fork", core_count_fork, METH_NOARGS,
     "count_fork($module, /)\n--\n\nIn a child of fork(2): streams that were made before are the parent's."},
    {"read_messages", core_read_messages, METH_VARARGS,
     "read_messages($module, session, refill, /)\n--\n\nAs in `connection.py`."},
    {"encode_lines", core_encode_lines, METH_VARARGS,
     "encode_lines($module, description, messages, /)\n--\n\nAs in `framing.py`."},
    {"receive_blocking", (PyCFunction)(void (*)(void))core_receive_blocking, METH_FASTCALL,
     "receive_blocking($module, session, stream, /)\n--\n\nAs in `connection.py`."},
    {"apply_mask", core_apply_mask, METH_VARARGS, "apply_mask($module, data, mask, /)\n--\n\nAs in `websocket.py`."},
    {"encode_frame", core_encode_frame, METH_VARARGS,
     "encode_frame($module, first, payload, mask=None, /)\n--\n\nAs in `websocket.py`."},
#if defined(__linux__) || defined(__FreeBSD__)
    {"receive_batch", core_receive_batch, METH_VARARGS,
     "receive_batch($module, sock, size, limit, flags, /)\n--\n\nAs in `datagram.py`."},
    {"send_batch", core_send_batch, METH_VARARGS,
     "send_batch($module, sock, batch, /)\n--\n\nAs in `datagram.py`."},
#endif
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030D0000
    {Py_mod_gil, Py_MOD_GIL_USED}, /* the state of a connection is guarded by the GIL alone */
#endif
    {0, NULL},
};

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "socketkit._core._native",
    .m_doc = "The compiled core; see `core.h`.",
    .m_size = sizeof(CoreState),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&core_module);
}
