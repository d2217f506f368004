/* The values of a decoded block as Python objects, and rows of them: the one file that speaks to Python.
 *
 * The kernel runs without the GIL and knows no objects; this runs with it and knows no libpq. What is in a block was
 * judged by the kernel: dates exist, numbers have their width. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <datetime.h>
#include <string.h>

#include "block.h"
#include "imported.h"

static PyTypeObject *uuid_type;
static PyObject *uuid_int, *uuid_is_safe; /* UUID refuses to be changed, its slots do not */
static PyObject *uuid_unknown;
static PyObject *decimal_type;

/* The next `size` bytes. */
static const unsigned char *take(const char **at, int64_t size)
{
    const unsigned char *bytes = (const unsigned char *)*at;
    *at += size;
    return bytes;
}

static int64_t take_int(const char **at)
{
    int64_t value;
    memcpy(&value, take(at, sizeof value), sizeof value);
    return value;
}

static double take_double(const char **at)
{
    double value;
    memcpy(&value, take(at, sizeof value), sizeof value);
    return value;
}

static PyObject *take_text(const char **at)
{
    int64_t size = take_int(at);
    return PyUnicode_DecodeUTF8((const char *)take(at, size), (Py_ssize_t)size, NULL);
}

static PyObject *take_bytes(const char **at)
{
    int64_t size = take_int(at);
    return PyBytes_FromStringAndSize((const char *)take(at, size), (Py_ssize_t)size);
}

static PyObject *take_numeric(const char **at)
{
    PyObject *text = take_text(at);
    if (text == NULL)
        return NULL;
    PyObject *number = PyObject_CallOneArg(decimal_type, text);
    Py_DECREF(text);
    return number;
}

static PyObject *take_date(const char **at)
{
    const unsigned char *p = take(at, 4);
    return PyDate_FromDate(p[0] << 8 | p[1], p[2], p[3]);
}

static PyObject *take_timestamp(const char **at, PyObject *zone)
{
    const unsigned char *p = take(at, 10);
    return PyDateTimeAPI->DateTime_FromDateAndTime(p[0] << 8 | p[1], p[2], p[3], p[4], p[5], p[6],
                                                   p[7] << 16 | p[8] << 8 | p[9], zone, PyDateTimeAPI->DateTimeType);
}

static PyObject *take_uuid(const char **at)
{
    const unsigned char *p = take(at, 16);
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *number = PyLong_FromUnsignedNativeBytes(p, 16, Py_ASNATIVEBYTES_BIG_ENDIAN);
#else
    PyObject *number = _PyLong_FromByteArray(p, 16, 0, 0);
#endif
    PyObject *uuid = number == NULL ? NULL : uuid_type->tp_alloc(uuid_type, 0);
    if (uuid != NULL && (Py_TYPE(uuid_int)->tp_descr_set(uuid_int, uuid, number) < 0 ||
                         Py_TYPE(uuid_is_safe)->tp_descr_set(uuid_is_safe, uuid, uuid_unknown) < 0))
        Py_CLEAR(uuid);
    Py_XDECREF(number);
    return uuid;
}

/* The next value of a column that is not NULL. */
static PyObject *take_value(int32_t kind, const char **at, PyObject *zone)
{
    switch (kind) {
    case DBP_BOOL:
        return PyBool_FromLong(*take(at, 1));
    case DBP_INT2:
    case DBP_INT4:
    case DBP_INT8:
    case DBP_OID:
        return PyLong_FromLongLong(take_int(at));
    case DBP_FLOAT4:
    case DBP_FLOAT8:
        return PyFloat_FromDouble(take_double(at));
    case DBP_TEXT:
        return take_text(at);
    case DBP_BYTEA:
        return take_bytes(at);
    case DBP_DATE:
        return take_date(at);
    case DBP_TIMESTAMP:
        return take_timestamp(at, zone);
    case DBP_UUID:
        return take_uuid(at);
    case DBP_NUMERIC:
        return take_numeric(at);
    default:
        return PyErr_Format(PyExc_SystemError, "bug: a value of kind %d", (int)kind);
    }
}

PyDoc_STRVAR(values_doc, "values(block, number, zone)\n--\n\n"
                         "The values of a column that is not odd. `block` is the address of a dbp_block, `zone` the\n"
                         "tzinfo of its timestamps.");

static PyObject *values(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *address, *zone;
    int number;
    if (!PyArg_ParseTuple(args, "OiO", &address, &number, &zone))
        return NULL;
    const dbp_block *block = PyLong_AsVoidPtr(address);
    if (block == NULL)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no block");
    if (number < 0 || number >= block->ncolumns)
        return PyErr_Format(PyExc_IndexError, "no column %d", number);
    const dbp_column *column = block->columns + number;
    const char *at = column->data;
    PyObject *list = PyList_New(block->rows);
    for (int32_t row = 0; list != NULL && row < block->rows; row++) {
        PyObject *value = column->missing[row] ? Py_NewRef(Py_None) : take_value(column->kind, &at, zone);
        if (value == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, row, value);
    }
    return list;
}

static int same_length(PyObject *columns, Py_ssize_t rows)
{
    for (Py_ssize_t c = 0; c < PyList_GET_SIZE(columns); c++) {
        PyObject *column = PyList_GET_ITEM(columns, c);
        if (!PyList_Check(column) || PyList_GET_SIZE(column) != rows)
            return 0;
    }
    return 1;
}

/* Filled without any code of Python's running in between: no other code sees it half made. */
static PyObject *record(PyTypeObject *type, PyObject *columns, Py_ssize_t row)
{
    Py_ssize_t count = PyList_GET_SIZE(columns);
    PyObject *made = type->tp_alloc(type, count);
    for (Py_ssize_t c = 0; made != NULL && c < count; c++)
        PyTuple_SET_ITEM(made, c, Py_NewRef(PyList_GET_ITEM(PyList_GET_ITEM(columns, c), row)));
    return made;
}

PyDoc_STRVAR(records_doc, "records(type, columns)\n--\n\n"
                          "Rows of `type`, a subclass of tuple, from lists that are the columns.");

static PyObject *records(PyObject *module, PyObject *args)
{
    (void)module;
    PyTypeObject *type;
    PyObject *columns;
    if (!PyArg_ParseTuple(args, "O!O!", &PyType_Type, &type, &PyList_Type, &columns))
        return NULL;
    Py_ssize_t rows = PyList_GET_SIZE(columns) > 0 ? Py_SIZE(PyList_GET_ITEM(columns, 0)) : 0;
    if (!PyType_IsSubtype(type, &PyTuple_Type) || !same_length(columns, rows))
        return PyErr_Format(PyExc_TypeError, "a subclass of tuple and lists of one length expected");
    PyObject *list = PyList_New(rows);
    for (Py_ssize_t row = 0; list != NULL && row < rows; row++) {
        PyObject *made = record(type, columns, row);
        if (made == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, row, made);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"values", values, METH_VARARGS, values_doc},
    {"records", records, METH_VARARGS, records_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_rows",
    .m_doc = "Decoded columns to Python's rows.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__rows(void)
{
    PyDateTime_IMPORT;
    uuid_type = (PyTypeObject *)imported("uuid", "UUID", NULL);
    uuid_int = imported("uuid", "UUID", "int");
    uuid_is_safe = imported("uuid", "UUID", "is_safe");
    uuid_unknown = imported("uuid", "SafeUUID", "unknown");
    decimal_type = imported("decimal", "Decimal", NULL);
    if (PyDateTimeAPI == NULL || uuid_type == NULL || uuid_int == NULL || uuid_is_safe == NULL ||
        uuid_unknown == NULL || decimal_type == NULL)
        return NULL;
    return PyModule_Create(&definition);
}
