// Imports the header through cgo: asks the library's version and runs a workflow of one step, written in Go.
package main

/*
#include <stdlib.h>
#include "blazen/blazen.h"

blazen_status add_go_step(blazen_workflow_builder *builder, const char *name, size_t name_length, uintptr_t handle,
                          blazen_error **error);
*/
import "C"

import (
	"fmt"
	"os"
	"runtime/cgo"
	"unsafe"
)

// What a step of this program is: it turns the JSON of its event into the JSON of the result.
type stepFunc func(input string) string

var dropped = 0

//export goStep
func goStep(userData unsafe.Pointer, context *C.blazen_context, event *C.blazen_event, err **C.blazen_error) C.blazen_status {
	step := cgo.Handle(uintptr(userData)).Value().(stepFunc)
	output := step(text(C.blazen_event_value(event)))
	stop, outputC := C.CString(C.BLAZEN_STOP_EVENT), C.CString(output)
	defer C.free(unsafe.Pointer(stop))
	defer C.free(unsafe.Pointer(outputC))
	return C.blazen_context_emit_json(context, stop, C.size_t(len(C.BLAZEN_STOP_EVENT)), outputC, C.size_t(len(output)), err)
}

//export goDrop
func goDrop(userData unsafe.Pointer) {
	cgo.Handle(uintptr(userData)).Delete()
	dropped++
}

// The JSON text of a value.
func text(value *C.blazen_value) string {
	var length C.size_t
	data := C.blazen_value_data(value, &length)
	return C.GoStringN((*C.char)(data), C.int(length))
}

// Ends the program where a call failed.
func check(status C.blazen_status, err *C.blazen_error) {
	if status != C.BLAZEN_OK {
		fmt.Println(C.GoString(C.blazen_status_name(status)), C.GoString(C.blazen_error_message(err, nil)))
		os.Exit(1)
	}
}

func workflow(step stepFunc) *C.blazen_workflow {
	var err *C.blazen_error
	var builder *C.blazen_workflow_builder
	var built *C.blazen_workflow
	name := C.CString("greet")
	defer C.free(unsafe.Pointer(name))
	check(C.blazen_workflow_builder_create(name, 5, &builder, &err), err)
	defer C.blazen_workflow_builder_release(builder)
	check(C.add_go_step(builder, name, 5, C.uintptr_t(cgo.NewHandle(step)), &err), err)
	check(C.blazen_workflow_builder_build(builder, &built, &err), err)
	return built
}

func run(workflow *C.blazen_workflow, input string) string {
	var err *C.blazen_error
	var runtime *C.blazen_runtime
	var value, result *C.blazen_value
	inputC := C.CString(input)
	defer C.free(unsafe.Pointer(inputC))
	check(C.blazen_value_json(inputC, C.size_t(len(input)), &value, &err), err)
	defer C.blazen_value_release(value)
	check(C.blazen_runtime_create(nil, &runtime, &err), err)
	defer C.blazen_runtime_release(runtime)
	check(C.blazen_workflow_run(workflow, runtime, value, &result, &err), err)
	defer C.blazen_value_release(result)
	return text(result)
}

func main() {
	greet := workflow(func(input string) string { return `{"hello":` + input + `}` })
	result := run(greet, `"go"`)
	C.blazen_workflow_release(greet)
	fmt.Println(C.GoString(C.blazen_version()), result, "dropped", dropped, C.BLAZEN_FOREVER, C.BLAZEN_NAME_BYTES_MAX,
		C.BLAZEN_STEP_TIMEOUT_MS_MAX, C.BLAZEN_UNTIL_ASKING, C.GoString(C.blazen_event_name(C.BLAZEN_EVENT_STOP, nil)))
}
