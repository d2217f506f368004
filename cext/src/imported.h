/* What the modules that speak to Python need of its own modules. */
#ifndef DBP_IMPORTED_H
#define DBP_IMPORTED_H

#include <Python.h>

/* module.name, or a part of it: attribute after attribute. */
static PyObject *imported(const char *module, const char *name, const char *part)
{
    PyObject *found = PyImport_ImportModule(module);
    for (const char *const *next = (const char *const[]){name, part, NULL}; found != NULL && *next != NULL; next++) {
        PyObject *inner = PyObject_GetAttrString(found, *next);
        Py_DECREF(found);
        found = inner;
    }
    return found;
}

#endif
