// What functions of Go programs without symbols are tried on.
package main

import "fmt"

type counter struct{ count int }

//go:noinline
func watched(number int) int { return number * number }

//go:noinline
func (c *counter) add(number int) int {
	c.count += number
	return c.count
}

func main() {
	c := &counter{5}
	fmt.Println(watched(3), c.add(4))
}
