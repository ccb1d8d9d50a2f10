//! Imports what translate-c made of the header, blazen.zig, and runs a workflow of one step, written in Zig.
const c = @import("blazen");

extern fn printf(format: [*:0]const u8, ...) c_int;
extern fn snprintf(buffer: [*]u8, size: usize, format: [*:0]const u8, ...) c_int;
extern fn exit(status: c_int) noreturn;

var dropped: c_int = 0;

fn event_name(which: c.blazen_known_event, length: *usize) [*c]const u8 {
    return c.blazen_event_name(which, length);
}

// Turns the JSON of its event into the JSON of the result.
fn step(user_data: ?*anyopaque, context: ?*c.blazen_context, event: ?*const c.blazen_event, failure: [*c]?*c.blazen_error) callconv(.c) c.blazen_status {
    const greeting: [*:0]const u8 = @ptrCast(user_data.?);
    var buffer: [100]u8 = undefined;
    var stop_length: usize = 0;
    const stop = event_name(c.BLAZEN_EVENT_STOP, &stop_length);
    const input: [*c]const u8 = @ptrCast(c.blazen_value_data(c.blazen_event_value(event), null));
    const length = snprintf(&buffer, buffer.len, "{\"%s\":%s}", greeting, input);
    return c.blazen_context_emit_json(context, stop, stop_length, &buffer, @intCast(length), failure);
}

fn drop(_: ?*anyopaque) callconv(.c) void {
    dropped += 1;
}

// Ends the program where a call failed.
fn check(status: c.blazen_status, failure: ?*c.blazen_error) void {
    if (status == c.BLAZEN_OK) return;
    _ = printf("%s: %s\n", c.blazen_status_name(status), c.blazen_error_message(failure, null));
    exit(1);
}

fn workflow() ?*c.blazen_workflow {
    var failure: ?*c.blazen_error = null;
    var builder: ?*c.blazen_workflow_builder = null;
    var built: ?*c.blazen_workflow = null;
    var start_length: usize = 0;
    const start = event_name(c.BLAZEN_EVENT_START, &start_length);
    check(c.blazen_workflow_builder_create("greet", 5, &builder, &failure), failure);
    defer c.blazen_workflow_builder_release(builder);
    const greeting: *anyopaque = @ptrCast(@constCast("hello"));
    check(c.blazen_workflow_builder_add_step(builder, "greet", 5, start, start_length, step, greeting, drop, &failure), failure);
    check(c.blazen_workflow_builder_build(builder, &built, &failure), failure);
    return built;
}

pub export fn main() c_int {
    var failure: ?*c.blazen_error = null;
    var runtime: ?*c.blazen_runtime = null;
    var value: ?*c.blazen_value = null;
    var result: ?*c.blazen_value = null;
    const greet = workflow();
    check(c.blazen_runtime_create(null, &runtime, &failure), failure);
    check(c.blazen_value_json("\"zig\"", 5, &value, &failure), failure);
    check(c.blazen_workflow_run(greet, runtime, value, &result, &failure), failure);
    _ = printf("%s %s ", c.blazen_version(), @as([*c]const u8, @ptrCast(c.blazen_value_data(result, null))));
    c.blazen_value_release(result);
    c.blazen_value_release(value);
    c.blazen_runtime_release(runtime);
    c.blazen_workflow_release(greet);
    _ = printf("dropped %d ", dropped);
    const numbers = [_]c_int{ c.BLAZEN_FOREVER, c.BLAZEN_NAME_BYTES_MAX, c.BLAZEN_STEP_TIMEOUT_MS_MAX, c.BLAZEN_UNTIL_ASKING };
    for (numbers) |number| _ = printf("%d ", number);
    _ = printf("%s\n", c.blazen_event_name(c.BLAZEN_EVENT_STOP, null));
    return 0;
}
