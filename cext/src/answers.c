/* What a caller awaits: db_pool_rs/aio.py in C. That file is the specification, and says why it is so.
 *
 * Only what costs time is different: a ResultFuture is its own iterator, and all answers of a group are handed out in one
 * call. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "imported.h"

typedef struct {
    PyObject_HEAD
    PyObject *loop;
    PyObject *callback; /* the task that waits, and its context */
    PyObject *context;
    PyObject *value;
    PyObject *error;
    char blocking; /* asyncio's mark for a future that a task is about to wait for */
    char done;
} ResultFuture;

static PyTypeObject answer_type;
static PyObject *current_task, *invalid_state, *cancelled_error;
static PyObject *name_call_soon, *name_future, *name_value, *name_error, *just_context;

/* Whether a task of `loop` is running, inside which no other task can go on; -1 with an exception. */
static int inside_task(PyObject *loop)
{
    PyObject *task = PyObject_CallOneArg(current_task, loop);
    if (task == NULL)
        return -1;
    Py_DECREF(task);
    return task != Py_None;
}

static int call_later(PyObject *loop, PyObject *callback, PyObject *self, PyObject *context)
{
    PyObject *args[] = {loop, callback, self, context};
    PyObject *handle = PyObject_VectorcallMethod(name_call_soon, args, 3, just_context);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

static int call_now(PyObject *callback, PyObject *self, PyObject *context)
{
    if (PyContext_Enter(context) < 0)
        return -1;
    PyObject *nothing = PyObject_CallOneArg(callback, self);
    Py_XDECREF(nothing);
    return PyContext_Exit(context) < 0 || nothing == NULL ? -1 : 0;
}

/* It is done: the task that waits goes on, now or in the next tick of the loop. */
static int go_on(ResultFuture *self, int now)
{
    PyObject *callback = self->callback, *context = self->context;
    if (callback == NULL)
        return 0;
    self->callback = self->context = NULL;
    int failed = now ? call_now(callback, (PyObject *)self, context)
                     : call_later(self->loop, callback, (PyObject *)self, context);
    Py_DECREF(callback);
    Py_DECREF(context);
    return failed;
}

static int finish(ResultFuture *self, PyObject *value, PyObject *error, int now)
{
    if (self->done) {
        PyErr_SetString(PyExc_AssertionError, "bug: a second answer");
        return -1;
    }
    self->done = 1;
    self->value = Py_XNewRef(value);
    self->error = Py_XNewRef(error);
    return go_on(self, now);
}

/* Its value, or its error raised. */
static PyObject *outcome(ResultFuture *self)
{
    if (self->error == NULL)
        return Py_NewRef(self->value);
    PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
    return NULL;
}

/* -- for the pool ------------------------------------------------------------------------------------------------ */

static PyObject *answer_new(PyObject *type, PyObject *const *args, size_t nargsf, PyObject *keywords)
{
    (void)type;
    if (PyVectorcall_NARGS(nargsf) != 1 || keywords != NULL)
        return PyErr_Format(PyExc_TypeError, "ResultFuture() takes the event loop");
    ResultFuture *self = PyObject_GC_New(ResultFuture, &answer_type);
    if (self == NULL)
        return NULL;
    self->loop = Py_NewRef(args[0]);
    self->callback = self->context = self->value = self->error = NULL;
    self->blocking = self->done = 0;
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyObject *set_result(PyObject *self, PyObject *value)
{
    int inside = inside_task(((ResultFuture *)self)->loop);
    if (inside < 0 || finish((ResultFuture *)self, value, NULL, !inside) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *set_exception(PyObject *self, PyObject *error)
{
    if (!PyExceptionInstance_Check(error))
        return PyErr_Format(PyExc_TypeError, "an exception expected");
    if (finish((ResultFuture *)self, NULL, error, 0) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *done(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return PyBool_FromLong(((ResultFuture *)self)->done);
}

static PyObject *result(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    if (((ResultFuture *)self)->done)
        return outcome((ResultFuture *)self);
    PyErr_SetString(invalid_state, "there is no answer yet");
    return NULL;
}

/* One of a group: 1 if it is an error and a task waits for it, -1 with an exception. */
static int answer_one(PyObject *statement, PyObject *future, int now)
{
    if (Py_TYPE(future) != &answer_type) {
        PyErr_Format(PyExc_TypeError, "bug: a ResultFuture expected, not %R", future);
        return -1;
    }
    if (((ResultFuture *)future)->done)
        return 0;
    PyObject *error = PyObject_GetAttr(statement, name_error);
    PyObject *value = PyObject_GetAttr(statement, name_value);
    int status = -1;
    if (error != NULL && value != NULL) {
        int failed = error != Py_None;
        status = failed ? finish((ResultFuture *)future, NULL, error, 0) : finish((ResultFuture *)future, value, NULL, now);
        status = status < 0 ? -1 : failed;
    }
    Py_XDECREF(error);
    Py_XDECREF(value);
    return status;
}

static PyObject *hand_out(PyObject *nothing, PyObject *const *args, Py_ssize_t nargs)
{
    (void)nothing;
    if (nargs != 2 || !PyList_Check(args[0]))
        return PyErr_Format(PyExc_TypeError, "a list of statements and their event loop expected");
    int inside = inside_task(args[1]), status = inside;
    long errors = 0;
    for (Py_ssize_t at = 0; status >= 0 && at < PyList_GET_SIZE(args[0]); at++) {
        PyObject *statement = Py_NewRef(PyList_GET_ITEM(args[0], at));
        PyObject *future = PyObject_GetAttr(statement, name_future);
        status = future == NULL ? -1 : answer_one(statement, future, !inside);
        errors += status > 0;
        Py_XDECREF(future);
        Py_DECREF(statement);
    }
    return status < 0 ? NULL : PyLong_FromLong(errors);
}

/* -- for tasks --------------------------------------------------------------------------------------------------- */

static PySendResult send(PyObject *iterator, PyObject *sent, PyObject **found)
{
    (void)sent;
    ResultFuture *self = (ResultFuture *)iterator;
    if (!self->done) {
        self->blocking = 1;
        *found = Py_NewRef(iterator);
        return PYGEN_NEXT;
    }
    *found = outcome(self);
    return *found == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

/* What `send` does, for debuggers and for Python's own tasks, which know nothing else. */
static PyObject *next(PyObject *self)
{
    PyObject *found;
    if (send(self, Py_None, &found) == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, found);
        if (stop != NULL)
            PyErr_SetObject(PyExc_StopIteration, stop);
        Py_XDECREF(stop);
        Py_CLEAR(found);
    }
    return found;
}

static PyObject *add_done_callback(PyObject *object, PyObject *const *args, Py_ssize_t nargs, PyObject *keywords)
{
    ResultFuture *self = (ResultFuture *)object;
    if (nargs != 1 || keywords == NULL || PyObject_RichCompareBool(keywords, just_context, Py_EQ) != 1)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "add_done_callback(callback, *, context)");
    if (self->callback != NULL)
        return PyErr_Format(PyExc_AssertionError, "bug: a second waiter");
    if (self->done && call_later(self->loop, args[0], object, args[1]) < 0)
        return NULL;
    if (!self->done) {
        self->callback = Py_NewRef(args[0]);
        self->context = Py_NewRef(args[1]);
    }
    Py_RETURN_NONE;
}

static PyObject *cancel(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"msg", NULL};
    PyObject *msg = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &msg))
        return NULL;
    if (((ResultFuture *)self)->done)
        Py_RETURN_FALSE;
    PyObject *error = msg == Py_None ? PyObject_CallNoArgs(cancelled_error) : PyObject_CallOneArg(cancelled_error, msg);
    if (error == NULL)
        return NULL;
    int status = finish((ResultFuture *)self, NULL, error, 0);
    Py_DECREF(error);
    if (status < 0)
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *get_loop(PyObject *self, PyObject *nothing)
{
    (void)nothing;
    return Py_NewRef(((ResultFuture *)self)->loop);
}

static PyObject *repr(PyObject *self)
{
    return PyUnicode_FromFormat("<ResultFuture %s>", ((ResultFuture *)self)->done ? "done" : "pending");
}

/* -- the type ---------------------------------------------------------------------------------------------------- */

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    ResultFuture *self = (ResultFuture *)object;
    Py_VISIT(self->loop);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->value);
    Py_VISIT(self->error);
    return 0;
}

static int clear(PyObject *object)
{
    ResultFuture *self = (ResultFuture *)object;
    Py_CLEAR(self->loop);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->value);
    Py_CLEAR(self->error);
    return 0;
}

static void dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    PyObject_GC_Del(self);
}

static PyMethodDef answer_methods[] = {
    {"set_result", set_result, METH_O, "It is answered: the task that waits goes on now."},
    {"set_exception", set_exception, METH_O, "It failed: the task that waits goes on in the next tick of the loop."},
    {"done", done, METH_NOARGS, "Whether it is answered or cancelled."},
    {"result", result, METH_NOARGS, "The answer, or the error raised."},
    {"add_done_callback", (PyCFunction)(void (*)(void))add_done_callback, METH_FASTCALL | METH_KEYWORDS,
     "Have the task go on when it is answered."},
    {"cancel", (PyCFunction)(void (*)(void))cancel, METH_VARARGS | METH_KEYWORDS, "The task is cancelled."},
    {"get_loop", get_loop, METH_NOARGS, "The loop of the task that waits."},
    {"hand_out", (PyCFunction)(void (*)(void))hand_out, METH_FASTCALL | METH_STATIC,
     "hand_out(statements, loop)\n--\n\nAnswer all whose callers still wait; how many of them with an error."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef answer_members[] = {
    {"_asyncio_future_blocking", T_BOOL, offsetof(ResultFuture, blocking), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyAsyncMethods answer_async = {.am_await = Py_NewRef, .am_send = send};

static PyTypeObject answer_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "db_pool_rs_balanced._answers.ResultFuture",
    .tp_doc = "db_pool_rs.aio.ResultFuture in C.",
    .tp_basicsize = sizeof(ResultFuture),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_vectorcall = answer_new,
    .tp_as_async = &answer_async,
    .tp_iternext = next,
    .tp_methods = answer_methods,
    .tp_members = answer_members,
    .tp_repr = repr,
    .tp_traverse = traverse,
    .tp_clear = clear,
    .tp_dealloc = dealloc,
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_answers",
    .m_doc = "What callers await.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__answers(void)
{
    current_task = imported("asyncio", "current_task", NULL);
    invalid_state = imported("asyncio", "InvalidStateError", NULL);
    cancelled_error = imported("asyncio", "CancelledError", NULL);
    name_call_soon = PyUnicode_InternFromString("call_soon");
    name_future = PyUnicode_InternFromString("future");
    name_value = PyUnicode_InternFromString("value");
    name_error = PyUnicode_InternFromString("error");
    just_context = Py_BuildValue("(s)", "context");
    if (current_task == NULL || invalid_state == NULL || cancelled_error == NULL || name_call_soon == NULL ||
        name_future == NULL || name_value == NULL || name_error == NULL || just_context == NULL)
        return NULL;
    if (PyType_Ready(&answer_type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "ResultFuture", (PyObject *)&answer_type) < 0)
        Py_CLEAR(module);
    return module;
}
